-- take_notification_due: the deferred notification that has been due for longest, and whether a newer one was told.
--
-- It is due again after $1, so that nobody else tries it meanwhile, and those behind it come first should it fail unnoted.
WITH due AS (
    SELECT booking_id, version, topic, channel
    FROM notification
    WHERE state = 'deferred' AND next_try_at <= now()
    ORDER BY next_try_at, version
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE notification AS late
SET next_try_at = now() + $1::interval
FROM due
WHERE (late.booking_id, late.version, late.topic, late.channel) = (due.booking_id, due.version, due.topic, due.channel)
RETURNING late.booking_id, late.version, late.topic, late.channel, late.tries, late.sender, late.recipient, late.message,
    EXISTS (
        SELECT FROM notification AS newer
        WHERE newer.booking_id = late.booking_id AND newer.channel = late.channel AND newer.version > late.version
          AND newer.state = 'sent'
    ) AS superseded
