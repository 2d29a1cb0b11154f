-- read_messages: at most $4 messages from the offsets ($3) of partitions ($1 topics, $2 numbers) on, in the given order.
SELECT found.topic, found.partition, found.message_offset, found.key, found.value
FROM unnest($1::text[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS wanted (topic, partition, next_offset, number)
CROSS JOIN LATERAL (
    SELECT message.*
    FROM event_message AS message
    WHERE message.topic = wanted.topic
      AND message.partition = wanted.partition
      AND message.message_offset >= wanted.next_offset
    ORDER BY message.message_offset
    LIMIT $4
) AS found
ORDER BY wanted.number, found.message_offset
LIMIT $4
