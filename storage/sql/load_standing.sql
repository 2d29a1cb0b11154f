-- load_standing: bookings of a vendor ($1) that hold slots ending after $2; no stay is longer than a year.
SELECT booking.*
FROM booking
WHERE vendor_id = $1 AND starts_at > $2::timestamptz - interval '400 days' AND ends_at > $2 AND held_slot_count > 0
ORDER BY starts_at, booking_id
