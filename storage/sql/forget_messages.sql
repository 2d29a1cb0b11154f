-- forget_messages: of the oldest $2 messages of each partition, drop those from before $1 that every group has passed.
WITH passed AS (
    SELECT message.topic, message.partition, message.message_offset
    FROM event_partition AS known
    CROSS JOIN LATERAL (
        SELECT * FROM event_message
        WHERE topic = known.topic AND partition = known.partition
        ORDER BY message_offset
        LIMIT $2
    ) AS message
    WHERE message.created_at < $1
      AND NOT EXISTS (
          SELECT FROM event_claim AS claim
          WHERE claim.topic = message.topic AND claim.partition = message.partition
            AND claim.next_offset <= message.message_offset
      )
),

gone AS (
    DELETE FROM event_message AS message
    USING passed
    WHERE message.topic = passed.topic AND message.partition = passed.partition
      AND message.message_offset = passed.message_offset
    RETURNING 1
)

SELECT count(*) FROM gone
