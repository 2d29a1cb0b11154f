-- commit_offsets: a group ($1) has read partitions ($3 topics, $4 numbers) up to before offsets ($5), says a member ($2);
-- the partitions that it still reads, for no others is it believed.
UPDATE event_claim AS stored
SET next_offset = greatest(stored.next_offset, done.next_offset)
FROM unnest($3::text[], $4::integer[], $5::bigint[]) AS done (topic, partition, next_offset)
WHERE stored.group_name = $1 AND stored.member = $2 AND stored.topic = done.topic AND stored.partition = done.partition
RETURNING stored.topic, stored.partition, stored.next_offset
