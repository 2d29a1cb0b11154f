-- notification_sent: the notification of event ($1 booking, $2 version, $3 topic) by channel $4 was taken over.
UPDATE notification
SET state = 'sent', sent_at = now(), sender = NULL, recipient = NULL, message = NULL, next_try_at = NULL
WHERE booking_id = $1 AND version = $2 AND topic = $3 AND channel = $4
RETURNING state
