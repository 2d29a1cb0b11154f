-- defer_notification: try the notification of event ($1 booking, $2 version, $3 topic) by channel $4 again after $7.
--
-- $5 the message, $6 why it was not taken.
UPDATE notification
SET state = 'deferred', tries = tries + 1, message = $5, error = $6, next_try_at = now() + $7::interval
WHERE booking_id = $1 AND version = $2 AND topic = $3 AND channel = $4
RETURNING state
