-- show_parked: one parked message, settled or not.
SELECT parked_id, consumer, topic, partition, message_offset, key, value, error, parked_at, tries, replay_asked_at,
       settled_at, settled_how
FROM parked_message
WHERE parked_id = $1
