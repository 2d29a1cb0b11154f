-- seed_claims: let a group ($1) read topics ($2) of $3 partitions each; a new one begins with the oldest message.
INSERT INTO event_claim (group_name, topic, partition, next_offset)
SELECT $1, wanted.topic, wanted.partition, coalesce(
    (
        SELECT min(message.message_offset)
        FROM event_message AS message
        WHERE message.topic = wanted.topic AND message.partition = wanted.partition
    ),
    (
        SELECT known.next_offset
        FROM event_partition AS known
        WHERE known.topic = wanted.topic AND known.partition = wanted.partition
    ),
    0
)
FROM (SELECT topic, partition FROM unnest($2::text[]) AS topic, generate_series(0, $3 - 1) AS partition) AS wanted
ON CONFLICT (group_name, topic, partition) DO NOTHING
