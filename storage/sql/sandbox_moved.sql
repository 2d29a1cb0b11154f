-- sandbox_moved: captures and refunds from $1 on and before $2, after position ($3, $4), at most $5, the oldest first.
SELECT at, reference, payment_id, amount_minor, currency, fee_minor, refund
FROM (
    SELECT captured_at AS at, reference, payment_id, amount_minor, currency, fee_minor, false AS refund
    FROM sandbox_capture
    WHERE captured_at >= greatest($1::timestamptz, $3::timestamptz) AND captured_at < $2::timestamptz
    UNION ALL
    SELECT done_at, reference, payment_id, amount_minor, currency, 0, true
    FROM sandbox_refund
    WHERE done_at >= greatest($1::timestamptz, $3::timestamptz) AND done_at < $2
) AS moved
WHERE (at, reference) > ($3, $4)
ORDER BY at, reference
LIMIT $5
