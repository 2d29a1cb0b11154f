-- append_messages: put messages at the end of their partitions and wake who reads their topics, all or nothing.
--
-- $1..$4 topics, partitions, keys, values. Offsets are given under the row lock of the partition's end, which is held
-- until the commit, so that they become visible in their order; the locks are taken in key order.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::bytea[])
        WITH ORDINALITY AS given (topic, partition, key, value, number)
),

ended AS (
    INSERT INTO event_partition AS known (topic, partition, next_offset)
    SELECT topic, partition, count(*) FROM given GROUP BY topic, partition ORDER BY topic, partition
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = known.next_offset + excluded.next_offset
    RETURNING topic, partition, next_offset
),

written AS (
    INSERT INTO event_message (topic, partition, message_offset, key, value)
    SELECT topic, partition,
           ended.next_offset - row_number() OVER (PARTITION BY topic, partition ORDER BY given.number DESC),
           given.key, given.value
    FROM given JOIN ended USING (topic, partition)
    RETURNING topic
)

SELECT pg_notify('holdfast_events', topic) FROM (SELECT DISTINCT topic FROM written) AS told
