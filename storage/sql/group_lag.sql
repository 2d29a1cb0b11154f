-- group_lag: how many messages of topics ($2) a group ($1) has not committed.
SELECT coalesce(sum(known.next_offset - coalesce(
    claim.next_offset,
    (
        SELECT min(message.message_offset)
        FROM event_message AS message
        WHERE message.topic = known.topic AND message.partition = known.partition
    ),
    known.next_offset
)), 0)::bigint
FROM event_partition AS known
LEFT JOIN event_claim AS claim
    ON claim.group_name = $1 AND claim.topic = known.topic AND claim.partition = known.partition
WHERE known.topic = ANY($2::text[])
