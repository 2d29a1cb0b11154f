-- booking_versions: the version of each of some bookings ($1) that the current table still has.
SELECT booking_id, version FROM booking WHERE booking_id = ANY($1::uuid[])
