-- sandbox_open: keep charge ($1 payment, $2 number) of booking $3 over $4 $5, unless it is there; whether it is over that sum.
WITH kept AS (
    INSERT INTO sandbox_charge
        (payment_id, charge_number, booking_id, amount_minor, currency, closes_at, returns_to, opened_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (payment_id, charge_number) DO UPDATE SET opened_at = sandbox_charge.opened_at
    RETURNING amount_minor, currency
)
SELECT amount_minor = $4 AND currency = $5 FROM kept
