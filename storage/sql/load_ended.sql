-- load_ended: CONFIRMED bookings of a shard ($1) that ended before $2, oldest first, at most $3, after the position ($4 end, $5 id).
SELECT booking.*
FROM booking
JOIN bucket ON bucket.bucket = bucket_of(booking.booking_id)
WHERE booking.status = 'CONFIRMED' AND booking.ends_at < $2 AND bucket.shard_id = $1
  AND (booking.ends_at, booking.booking_id)
      > (coalesce($4::timestamptz, '-infinity'), coalesce($5::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY booking.ends_at, booking.booking_id
LIMIT $3
