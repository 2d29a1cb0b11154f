-- load_holds: every BLOCKED booking of a shard's ($1) buckets, by the small index of BLOCKED bookings alone.
SELECT booking.*
FROM booking
JOIN bucket ON bucket.bucket = bucket_of(booking.booking_id)
WHERE booking.status = 'BLOCKED' AND bucket.shard_id = $1
