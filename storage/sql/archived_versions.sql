-- archived_versions: the versions in which the archive has these bookings ($1); it does not have those that are absent.
SELECT booking_id, version FROM archived_booking WHERE booking_id = ANY ($1::uuid[])
