-- booking_by_id: one booking ($1).
SELECT booking.* FROM booking WHERE booking_id = $1
