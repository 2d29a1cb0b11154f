-- sandbox_close: close charge ($1 payment, $2 number) at $8, whether it was heard of before or not; whether it is over $4 $5.
WITH kept AS (
    INSERT INTO sandbox_charge
        (payment_id, charge_number, booking_id, amount_minor, currency, closes_at, returns_to, opened_at, closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
    ON CONFLICT (payment_id, charge_number)
    DO UPDATE SET closed_at = coalesce(sandbox_charge.closed_at, excluded.closed_at)
    RETURNING amount_minor, currency
)
SELECT amount_minor = $4 AND currency = $5 FROM kept
