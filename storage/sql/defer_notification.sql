-- defer_notification: try the notification of event ($1 booking, $2 version, $3 topic) by channel $4 again after $9.
--
-- $5 from whom, $6 to whom, $7 the message, $8 why it was not taken.
UPDATE notification
SET state = 'deferred', tries = tries + 1, sender = $5, recipient = $6, message = $7, error = $8,
    next_try_at = now() + $9::interval
WHERE booking_id = $1 AND version = $2 AND topic = $3 AND channel = $4
RETURNING state
