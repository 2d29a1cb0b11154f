-- webhook_failed: the message of provider $1 with the id $2 could not be handled; the next try is at $3 (a person's, if null), $4 the error.
UPDATE webhook_inbox SET tries = tries + 1, try_at = $3, error = $4
WHERE provider = $1 AND event_id = $2 AND handled_at IS NULL
