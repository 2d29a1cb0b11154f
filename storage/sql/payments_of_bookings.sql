-- payments_of_bookings: every payment of the bookings in $1, with its parts, the oldest of each booking first.
SELECT * FROM whole_payment WHERE booking_id = ANY ($1::uuid[]) ORDER BY booking_id, number
