-- sandbox_refund: refund $2 of payment $1, and whether it is done at $3.
SELECT reference, capture_reference, amount_minor, done_at <= $3 AS done
FROM sandbox_refund
WHERE payment_id = $1 AND refund_number = $2
