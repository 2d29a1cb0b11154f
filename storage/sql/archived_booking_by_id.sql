-- archived_booking_by_id: an ended booking ($1) from the archive.
SELECT booking FROM archived_booking WHERE booking_id = $1
