-- load_bookings: bookings by id ($1).
SELECT booking.* FROM booking WHERE booking_id = ANY ($1::uuid[])
