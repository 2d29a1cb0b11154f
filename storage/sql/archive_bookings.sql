-- archive_bookings: keep ended bookings, given as one JSON array ($1); one that is there in that version or a later one stays as it is.
--
-- In the order of their ids, so that two who store the same ones wait for each other instead of blocking each other.
INSERT INTO archived_booking (booking_id, version, user_id, vendor_id, starts_at, status, booking)
SELECT DISTINCT ON (key.booking_id)
       key.booking_id, key.version, key.user_id, key.vendor_id, key.starts_at, key.status, given.booking
FROM jsonb_array_elements($1::jsonb) AS given (booking)
CROSS JOIN LATERAL jsonb_to_record(given.booking) AS key (
    booking_id uuid, version integer, user_id uuid, vendor_id uuid, starts_at timestamptz, status text
)
ORDER BY key.booking_id, key.version DESC
ON CONFLICT (booking_id) DO UPDATE
SET version = excluded.version, user_id = excluded.user_id, vendor_id = excluded.vendor_id,
    starts_at = excluded.starts_at, status = excluded.status, booking = excluded.booking
WHERE archived_booking.version < excluded.version
