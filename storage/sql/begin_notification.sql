-- begin_notification: note that event ($1 booking, $2 version, $3 topic) goes out by channel $4; its state afterwards.
--
-- `superseded` where a newer version of the booking was told by that channel, or waits to be; a state that stands is kept.
INSERT INTO notification (booking_id, version, topic, channel, state)
SELECT $1, $2, $3, $4,
       CASE WHEN EXISTS (
           SELECT FROM notification AS newer
           WHERE newer.booking_id = $1 AND newer.channel = $4 AND newer.version > $2
             AND newer.state IN ('sent', 'deferred')
       ) THEN 'superseded' ELSE 'begun' END
ON CONFLICT (booking_id, version, topic, channel) DO UPDATE SET begun_at = notification.begun_at
RETURNING state
