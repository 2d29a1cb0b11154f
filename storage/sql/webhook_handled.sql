-- webhook_handled: the message of provider $1 with the id $2 was handled.
UPDATE webhook_inbox SET handled_at = now(), try_at = NULL, error = NULL
WHERE provider = $1 AND event_id = $2 AND handled_at IS NULL
