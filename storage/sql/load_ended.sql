-- load_ended: CONFIRMED bookings of a shard ($1) that ended before $2, oldest first, at most $3.
SELECT booking.*
FROM booking
JOIN bucket ON bucket.bucket = bucket_of(booking.booking_id)
WHERE booking.status = 'CONFIRMED' AND booking.ends_at < $2 AND bucket.shard_id = $1
ORDER BY booking.ends_at, booking.booking_id
LIMIT $3
