-- depart_bookings: delete bookings of a shard ($1) that the archive has, by id and version ($2, $3), if they may leave: $4 as in departures_due, and no money is open.
--
-- To be run under the lease's lock, in a statement of its own, so that it sees what was true once the lock was had.
-- What a booking still holds is cleared in the vendor's present step, as the view tells it and verify compares it.
WITH leaving AS MATERIALIZED (
    SELECT booking.booking_id
    FROM unnest($2::uuid[], $3::integer[]) AS archived (booking_id, version)
    JOIN booking ON booking.booking_id = archived.booking_id AND booking.version = archived.version
    JOIN bucket ON bucket.bucket = bucket_of(booking.booking_id) AND bucket.shard_id = $1
    WHERE booking.status IN ('AVAILED', 'CANCELLED', 'NO_SHOW', 'EXPIRED')
      AND over_since(booking.updated_at, booking.ends_at, booking.held_slot_count) < $4
      AND NOT EXISTS (SELECT FROM payment WHERE payment.booking_id = booking.booking_id AND NOT payment.over)
),

-- Two bookings that hold one bit would vanish in an OR, and with them the proof that a slot was sold twice.
held AS (
    SELECT slot.seat_id, slot.word, bit_or(1::bigint << slot.bit) AS bits,
           count(*) = bit_count(bit_or(1::bigint << slot.bit)::bit(64)) AS each_bit_once
    FROM leaving
    JOIN bookable_seat_slot AS slot ON slot.booking_id = leaving.booking_id
    GROUP BY slot.seat_id, slot.word
    ORDER BY slot.seat_id, slot.word
),

word_cleared AS (
    MERGE INTO seat_word AS stored
    USING held ON stored.seat_id = held.seat_id AND stored.word = held.word
    WHEN MATCHED AND held.each_bit_once AND stored.mask = held.bits THEN DELETE
    WHEN MATCHED AND held.each_bit_once AND (stored.mask & held.bits) = held.bits
        THEN UPDATE SET mask = stored.mask & ~held.bits
    RETURNING 1
),

departed AS (
    DELETE FROM booking
    USING leaving
    WHERE booking.booking_id = leaving.booking_id
    RETURNING booking.booking_id
)

SELECT (SELECT count(*) FROM departed) AS departed,
       CASE WHEN (SELECT count(*) FROM word_cleared) <> (SELECT count(*) FROM held)
           THEN refuse_batch('HF002', 'a seat-word does not hold what a leaving booking holds') END AS refused
