-- load_seats_in_use: those of a vendor's ($1) seats ($3) on which bookings hold slots ending after $2; no stay is longer than a year.
SELECT DISTINCT (seat ->> 'seat_no')::integer AS seat_no
FROM booking
CROSS JOIN LATERAL jsonb_array_elements(booking.seats) AS seat
WHERE vendor_id = $1 AND starts_at > $2::timestamptz - interval '400 days' AND ends_at > $2 AND held_slot_count > 0
  AND (seat ->> 'seat_no')::integer = ANY ($3::integer[])
