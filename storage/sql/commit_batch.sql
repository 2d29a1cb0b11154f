-- commit_batch: all that one batch writes, in one statement: fence, seat-words, bookings, answers, outbox; or nothing.
--
-- $1 shard_id, $2 epoch, $3 seq, $4 the batch's newest instant,
-- $5..$8 word changes: seat_ids, words, bits to clear, bits to set (a word may come several times, once per booking),
-- $9 bookings as one JSON array, $10 how many of them are new, $11 how many are changed,
-- $12..$14 answers: scopes, fingerprints, positions of their bookings in $9; $15 events as one JSON array.
--
-- Every part reads `fence`, so that nothing is touched before the lease's row is locked and its epoch seen. The parts
-- share one snapshot; that is safe because each row is written by one part only, and whoever wrote it since the
-- snapshot was taken either held this shard's lease (then our epoch is over) or leads to a refused row.
WITH fence AS (
    UPDATE shard
    SET seq = $3, seq_epoch = epoch, last_instant = greatest(last_instant, $4)
    WHERE shard_id = $1 AND epoch = $2
    RETURNING shard_id
),

-- Two bookings that take the same bit vanish in an OR, so the bits are counted before they are merged.
change AS (
    SELECT given.seat_id, given.word, bit_or(given.clear_bits) AS clear_bits, bit_or(given.set_bits) AS set_bits,
           sum(bit_count(given.clear_bits::bit(64))) = bit_count(bit_or(given.clear_bits)::bit(64))
           AND sum(bit_count(given.set_bits::bit(64))) = bit_count(bit_or(given.set_bits)::bit(64)) AS each_bit_once
    FROM fence, unnest($5::uuid[], $6::integer[], $7::bigint[], $8::bigint[]) AS given (seat_id, word, clear_bits, set_bits)
    GROUP BY given.seat_id, given.word
    ORDER BY given.seat_id, given.word
),

word_written AS (
    MERGE INTO seat_word AS stored
    USING change ON stored.seat_id = change.seat_id AND stored.word = change.word
    WHEN MATCHED
        AND change.each_bit_once
        AND (stored.mask & change.clear_bits) = change.clear_bits
        AND (stored.mask & ~change.clear_bits & change.set_bits) = 0
        THEN UPDATE SET mask = (stored.mask & ~change.clear_bits) | change.set_bits
    WHEN NOT MATCHED
        AND change.each_bit_once
        AND change.clear_bits = 0
        THEN INSERT (seat_id, word, mask) VALUES (change.seat_id, change.word, change.set_bits)
    RETURNING 1
),

given_booking AS (
    SELECT given.*
    FROM fence, jsonb_to_recordset($9::jsonb) AS given (
        booking_id uuid, vendor_id uuid, user_id uuid, starts_at timestamptz, ends_at timestamptz,
        created_at timestamptz, updated_at timestamptz, hold_expires_at timestamptz, no_show_at timestamptz,
        version integer, party_size integer, first_slot integer, slot_count integer, held_slot_count integer,
        step_minutes integer, check_in date, check_out date, deposit_waived boolean, deposit_paid boolean,
        cancelled_late boolean, bill_minor bigint, kind text, status text, seats jsonb, terms jsonb, seat_type text,
        price jsonb, notes text, contact jsonb, cancel_reason text
    )
),

booking_placed AS (
    INSERT INTO booking (
        booking_id, vendor_id, user_id, starts_at, ends_at, created_at, updated_at, hold_expires_at, no_show_at,
        version, party_size, first_slot, slot_count, held_slot_count, step_minutes, check_in, check_out,
        deposit_waived, deposit_paid, cancelled_late, bill_minor, kind, status, seats, terms, seat_type, price, notes,
        contact, cancel_reason
    )
    SELECT given.booking_id, given.vendor_id, given.user_id, given.starts_at, given.ends_at, given.created_at,
           given.updated_at, given.hold_expires_at, given.no_show_at, given.version, given.party_size,
           given.first_slot, given.slot_count, given.held_slot_count, given.step_minutes, given.check_in,
           given.check_out, given.deposit_waived, given.deposit_paid, given.cancelled_late, given.bill_minor,
           given.kind, given.status, given.seats, given.terms, given.seat_type, given.price, given.notes,
           given.contact, given.cancel_reason
    FROM given_booking AS given
    JOIN vendor ON vendor.vendor_id = given.vendor_id
    WHERE given.version = 1
    RETURNING 1
),

booking_changed AS (
    UPDATE booking AS stored
    SET starts_at = given.starts_at, ends_at = given.ends_at, updated_at = given.updated_at,
        hold_expires_at = given.hold_expires_at, no_show_at = given.no_show_at, version = given.version,
        party_size = given.party_size, first_slot = given.first_slot, slot_count = given.slot_count,
        held_slot_count = given.held_slot_count, step_minutes = given.step_minutes, check_in = given.check_in,
        check_out = given.check_out, deposit_waived = given.deposit_waived, deposit_paid = given.deposit_paid,
        cancelled_late = given.cancelled_late, bill_minor = given.bill_minor, status = given.status,
        seats = given.seats, terms = given.terms, seat_type = given.seat_type, price = given.price,
        notes = given.notes, contact = given.contact, cancel_reason = given.cancel_reason
    FROM given_booking AS given
    WHERE stored.booking_id = given.booking_id AND given.version > 1 AND stored.version = given.version - 1
    RETURNING 1
),

answer_kept AS (
    INSERT INTO idempotency_key (scope, fingerprint, answer)
    SELECT given.scope, given.fingerprint, $9::jsonb -> given.position
    FROM fence, unnest($12::bytea[], $13::bytea[], $14::integer[]) AS given (scope, fingerprint, position)
    RETURNING 1
),

told AS (
    INSERT INTO outbox (shard_id, epoch, seq, events, bookings)
    SELECT fence.shard_id, $2, $3, $15::jsonb, $9::jsonb FROM fence
    RETURNING 1
)

SELECT CASE
    WHEN NOT EXISTS (SELECT FROM fence) THEN refuse_batch('HF001', 'the epoch is over')
    WHEN (SELECT count(*) FROM word_written) <> (SELECT count(*) FROM change)
        THEN refuse_batch('HF002', 'a seat-word is not as the batch assumed')
    WHEN (SELECT count(*) FROM booking_placed) <> $10
        THEN refuse_batch('HF002', 'a new booking was not stored')
    WHEN (SELECT count(*) FROM booking_changed) <> $11
        THEN refuse_batch('HF002', 'a booking is not at the version that the batch assumed')
    WHEN (SELECT count(*) FROM answer_kept) <> cardinality($12)
        THEN refuse_batch('HF002', 'an answer was not kept')
    WHEN (SELECT count(*) FROM told) <> 1 THEN refuse_batch('HF002', 'the outbox row was not written')
END
