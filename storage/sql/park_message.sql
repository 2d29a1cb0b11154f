-- park_message: keep a message that its consumer could not handle. One parked already stays what it is; one that was replayed and fails anew waits again.
INSERT INTO parked_message (consumer, topic, partition, message_offset, key, value, error, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (consumer, topic, partition, message_offset, sha256(value)) DO UPDATE
SET error = excluded.error, tries = parked_message.tries + excluded.tries,
    replay_asked_at = NULL, settled_at = NULL, settled_how = NULL
WHERE parked_message.settled_how = 'replayed'
