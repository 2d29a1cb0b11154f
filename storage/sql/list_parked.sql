-- list_parked: unsettled parked messages, oldest first, $2 at most; of consumer $1, or of every one where it is null.
SELECT parked_id, consumer, topic, partition, message_offset, key, value, error, parked_at, tries, replay_asked_at,
       settled_at, settled_how
FROM parked_message
WHERE settled_at IS NULL AND ($1::text IS NULL OR consumer = $1)
ORDER BY parked_id
LIMIT $2
