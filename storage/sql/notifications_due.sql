-- notifications_due: at most $1 deferred notifications whose next try has come, and whether a newer one was told since.
SELECT booking_id, version, topic, channel, tries, message,
       EXISTS (
           SELECT FROM notification AS newer
           WHERE newer.booking_id = late.booking_id AND newer.channel = late.channel AND newer.version > late.version
             AND newer.state = 'sent'
       ) AS superseded
FROM notification AS late
WHERE state = 'deferred' AND next_try_at <= now()
ORDER BY next_try_at
LIMIT $1
