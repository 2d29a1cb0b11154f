-- audit_range: compare, in one snapshot, what bookings of a range of ids ($1 to $2) hold with the words of its seats.
WITH standing AS (
    SELECT booking_id, vendor_id, status, slot_count, held_slot_count, seats
    FROM booking
    WHERE booking_id BETWEEN $1 AND $2
),
booking_figures AS (
    SELECT count(*) AS counted,
           count(*) FILTER (
               WHERE CASE
                   WHEN status IN ('CANCELLED', 'EXPIRED') THEN held_slot_count <> 0
                   WHEN status IN ('BLOCKED', 'CONFIRMED') THEN held_slot_count <> slot_count OR held_slot_count < 1
                   ELSE held_slot_count NOT BETWEEN 0 AND slot_count
               END
           ) AS faults,
           count(*) FILTER (WHERE NOT EXISTS (SELECT FROM vendor WHERE vendor.vendor_id = standing.vendor_id)) AS homeless
    FROM standing
),
seat_figures AS (
    SELECT count(*) AS counted, count(*) FILTER (WHERE vendor_seat.seat_no IS NULL) AS faults
    FROM standing
    CROSS JOIN LATERAL jsonb_array_elements(standing.seats) AS seat
    LEFT JOIN vendor_seat
        ON vendor_seat.vendor_id = standing.vendor_id AND vendor_seat.seat_no = (seat ->> 'seat_no')::integer
    WHERE standing.held_slot_count > 0
),
held AS (
    SELECT seat_id, word, bit_or(1::bigint << bit) AS mask, count(*) AS slots
    FROM bookable_seat_slot
    WHERE booking_id BETWEEN $1 AND $2
    GROUP BY seat_id, word
),
compared AS (
    SELECT coalesce(held.seat_id, stored.seat_id) AS seat_id, coalesce(held.word, stored.word) AS word,
           coalesce(held.slots, 0) AS slots, coalesce(held.mask, 0) AS held_mask, coalesce(stored.mask, 0) AS stored_mask
    FROM held
    FULL JOIN (SELECT seat_id, word, mask FROM seat_word WHERE seat_id BETWEEN $1 AND $2) AS stored
        ON stored.seat_id = held.seat_id AND stored.word = held.word
),
word_figures AS (
    SELECT count(*) FILTER (WHERE stored_mask <> 0) AS words,
           coalesce(sum(slots), 0)::bigint AS slots,
           coalesce(sum(slots - bit_count(held_mask::bit(64))), 0)::bigint AS sold_twice,
           count(*) FILTER (WHERE stored_mask <> held_mask) AS words_differ
    FROM compared
)
SELECT booking_figures.counted AS bookings, booking_figures.faults AS bookings_odd, booking_figures.homeless,
       seat_figures.counted AS booked_seats, seat_figures.faults AS seats_unknown, word_figures.*,
       ARRAY(
           SELECT format('seat %s word %s: stored %s, held %s', seat_id, word, to_hex(stored_mask), to_hex(held_mask))
           FROM compared WHERE stored_mask <> held_mask LIMIT 5
       ) AS word_examples,
       ARRAY(
           SELECT format('seat %s word %s: %s slots held, %s different', seat_id, word, slots, bit_count(held_mask::bit(64)))
           FROM compared WHERE slots <> bit_count(held_mask::bit(64)) LIMIT 5
       ) AS slot_examples
FROM booking_figures, seat_figures, word_figures
