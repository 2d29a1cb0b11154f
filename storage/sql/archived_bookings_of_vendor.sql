-- archived_bookings_of_vendor: a page of a vendor's ($1) archived bookings, newest start first, after the position ($2 start, $3 id), at most $4.
--
-- $5 status or null; starts from $6 and before $7, or null.
SELECT booking
FROM archived_booking
WHERE vendor_id = $1
  AND ($2::timestamptz IS NULL OR (starts_at, booking_id) < ($2, $3::uuid))
  AND starts_at <= coalesce($2, 'infinity') AND starts_at >= coalesce($6, '-infinity'::timestamptz)
  AND ($7::timestamptz IS NULL OR starts_at < $7)
  AND ($5::text IS NULL OR status = $5)
ORDER BY starts_at DESC, booking_id DESC
LIMIT $4
