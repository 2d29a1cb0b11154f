-- departures_due: ended bookings without open money whose time in the current tables is over: $1 and longer ago, after the position ($2, $3), at most $4.
SELECT booking.*, bucket.shard_id, over_since(booking.updated_at, booking.ends_at, booking.held_slot_count) AS over_since
FROM booking
JOIN bucket ON bucket.bucket = bucket_of(booking.booking_id)
WHERE booking.status IN ('AVAILED', 'CANCELLED', 'NO_SHOW', 'EXPIRED')
  AND over_since(booking.updated_at, booking.ends_at, booking.held_slot_count) < $1
  AND NOT EXISTS (SELECT FROM payment WHERE payment.booking_id = booking.booking_id AND NOT payment.over)
  AND (over_since(booking.updated_at, booking.ends_at, booking.held_slot_count), booking.booking_id)
      > (coalesce($2::timestamptz, '-infinity'), coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY over_since(booking.updated_at, booking.ends_at, booking.held_slot_count), booking.booking_id
LIMIT $4
