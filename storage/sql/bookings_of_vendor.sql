-- bookings_of_vendor: a page of a vendor's ($1) bookings, newest start first, after the position ($2 start, $3 id), at most $4.
--
-- $5 now, $6 true for current, false for the rest, null for both; $7 status or null; starts from $8 and before $9, or null.
SELECT booking.*
FROM booking
WHERE vendor_id = $1
  AND ($2::timestamptz IS NULL OR (starts_at, booking_id) < ($2, $3::uuid))
  AND starts_at <= coalesce($2, 'infinity') AND starts_at >= coalesce($8, '-infinity'::timestamptz)
  AND ($9::timestamptz IS NULL OR starts_at < $9)
  AND ($6::boolean IS NULL OR (status IN ('BLOCKED', 'CONFIRMED') AND ends_at > $5) = $6)
  AND ($7::text IS NULL OR status = $7)
ORDER BY starts_at DESC, booking_id DESC
LIMIT $4
