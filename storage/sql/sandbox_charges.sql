-- sandbox_charges: the charges of payment $1 by number, as they stand at $2, with the references of the money that has come.
SELECT charge.payment_id, charge.charge_number, charge.booking_id, charge.amount_minor, charge.currency,
       charge.closes_at, charge.returns_to,
       charge.closed_at IS NOT NULL OR coalesce(charge.closes_at <= $2, false) AS closed,
       charge.declined_at IS NOT NULL AS declined,
       coalesce(array_agg(capture.reference ORDER BY capture.captured_at, capture.reference)
                FILTER (WHERE capture.reference IS NOT NULL), '{}') AS captures,
       coalesce(max(capture.fee_minor), 0) AS fee_minor
FROM sandbox_charge AS charge
LEFT JOIN sandbox_capture AS capture
    ON capture.payment_id = charge.payment_id AND capture.charge_number = charge.charge_number
    AND capture.captured_at <= $2
WHERE charge.payment_id = $1
GROUP BY charge.payment_id, charge.charge_number
ORDER BY charge.charge_number
