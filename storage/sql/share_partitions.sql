-- share_partitions: give back what a member ($2) of a group ($1) has too many of the partitions of its topics ($3), and
-- claim what it has too few and nobody living reads; every partition that it then has, and whether it is `taken` anew.
--
-- Partitions of one number go together, so that each member gets a part of each topic. A row is claimed under its lock,
-- which is never waited for, so that no two members claim it and none waits. Whoever gives something back wakes the others.
WITH living AS (
    SELECT member FROM event_member WHERE group_name = $1 AND alive_until > now()
    UNION
    SELECT $2::uuid
),

forgotten AS (
    DELETE FROM event_member WHERE group_name = $1 AND member <> $2 AND alive_until < now() - interval '1 hour'
),

claim AS MATERIALIZED (
    SELECT * FROM event_claim WHERE group_name = $1 AND topic = ANY($3::text[])
),

fair AS (
    SELECT claims.count / members.count + (members.before < claims.count % members.count)::integer AS share
    FROM (SELECT count(*) FROM claim) AS claims,
         (SELECT count(*), count(*) FILTER (WHERE member < $2) AS before FROM living) AS members
),

mine AS (
    SELECT topic, partition, next_offset, row_number() OVER (ORDER BY partition, topic) > (SELECT share FROM fair) AS surplus
    FROM claim
    WHERE member = $2
),

given_back AS (
    UPDATE event_claim AS stored
    SET member = NULL
    FROM mine
    WHERE stored.group_name = $1 AND stored.topic = mine.topic AND stored.partition = mine.partition
      AND stored.member = $2 AND mine.surplus
    RETURNING pg_notify('holdfast_groups', $1)
),

free AS (
    SELECT topic, partition
    FROM event_claim
    WHERE group_name = $1 AND topic = ANY($3::text[])
      AND (member IS NULL OR member NOT IN (SELECT member FROM living))
    ORDER BY partition, topic
    LIMIT greatest(0, (SELECT share FROM fair) - (SELECT count(*) FROM mine))
    FOR UPDATE SKIP LOCKED
),

taken AS (
    UPDATE event_claim AS stored
    SET member = $2
    FROM free
    WHERE stored.group_name = $1 AND stored.topic = free.topic AND stored.partition = free.partition
    RETURNING stored.topic, stored.partition, stored.next_offset
)

SELECT topic, partition, next_offset, false AS taken FROM mine WHERE NOT surplus
UNION ALL
SELECT topic, partition, next_offset, true AS taken FROM taken
