-- parked_to_replay: what an operator asked consumer $1 to try again, in the order of the log, $2 at most.
SELECT parked_id, consumer, topic, partition, message_offset, key, value, error, parked_at, tries, replay_asked_at,
       settled_at, settled_how
FROM parked_message
WHERE consumer = $1 AND settled_at IS NULL AND replay_asked_at IS NOT NULL
ORDER BY parked_id
LIMIT $2
