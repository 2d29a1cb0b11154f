-- forget_notifications: of the next $3 rows behind booking $1, drop those that nobody needs; the last booking looked at.
--
-- They began longer ago than $2 and wait for no try, and their booking has left for the archive: it cannot be cancelled
-- any more, so nobody asks whether its guest was invited.
WITH seen AS (
    SELECT booking_id, version, topic, channel
    FROM notification
    WHERE booking_id > $1
    ORDER BY booking_id
    FETCH FIRST ($3::bigint) ROWS WITH TIES
),

gone AS (
    DELETE FROM notification AS old
    USING seen
    WHERE (old.booking_id, old.version, old.topic, old.channel)
          = (seen.booking_id, seen.version, seen.topic, seen.channel)
      AND old.state <> 'deferred' AND old.begun_at < now() - $2::interval
      AND NOT EXISTS (SELECT FROM booking WHERE booking.booking_id = old.booking_id)
)

SELECT booking_id FROM seen ORDER BY booking_id DESC LIMIT 1
