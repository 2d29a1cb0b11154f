-- load_stranded: the first $4 bookings of a vendor ($1) that hold slots ending after $2 and could not stay on its seats
-- as they will be ($3, capacity_max by seat_no): one of theirs is not among them, or they no longer take the party.
--
-- Each set of seats is looked at once and remembered: a house has few of them, and its bookings are many.
SELECT booking.booking_id
FROM booking
CROSS JOIN LATERAL (
    SELECT bool_or(NOT $3::jsonb ? (seat ->> 'seat_no')) AS gone,
           sum(($3::jsonb ->> (seat ->> 'seat_no'))::integer) AS places
    FROM jsonb_array_elements(booking.seats) AS seat
) AS future
WHERE vendor_id = $1 AND starts_at > $2::timestamptz - interval '400 days' AND ends_at > $2 AND held_slot_count > 0
  AND (future.gone OR future.places < booking.party_size)
ORDER BY booking.starts_at, booking.booking_id
LIMIT $4
