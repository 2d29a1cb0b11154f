-- sandbox_make_refund: give $5 $6 of capture $4 back as refund $2 of payment $1, done at $8; a message tells of one that is done later.
--
-- Nothing where the capture has not so much left. A refund of that number that is there already is a unique violation.
WITH taken AS (
    UPDATE sandbox_capture SET refunded_minor = refunded_minor + $5
    WHERE reference = $4 AND payment_id = $1 AND currency = $6 AND captured_at <= $7
      AND refunded_minor + $5 <= amount_minor
    RETURNING 1
), made AS (
    INSERT INTO sandbox_refund
        (payment_id, refund_number, reference, capture_reference, amount_minor, currency, asked_at, done_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM taken
), told AS (
    INSERT INTO sandbox_event (event_id, body, deliver_at)
    SELECT $9, $10, $8 FROM taken WHERE $8 > $7
)
SELECT count(*) FROM taken
