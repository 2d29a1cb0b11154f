-- sandbox_capture: money for charge ($1 payment, $2 number) under the references $4, and the messages $8.. that tell of it.
--
-- At $3 the checkout must be open, unless $5; the money comes at $7 and costs a fee of $6. Money that is there already is
-- not taken again and not told again. Whoever closes the charge waits for its row, or is waited for.
WITH charge AS (
    SELECT payment_id, charge_number, amount_minor, currency
    FROM sandbox_charge
    WHERE payment_id = $1 AND charge_number = $2
      AND ($5 OR (closed_at IS NULL AND (closes_at IS NULL OR closes_at > $3)))
    FOR UPDATE
), came AS (
    INSERT INTO sandbox_capture
        (reference, payment_id, charge_number, amount_minor, currency, fee_minor, captured_at)
    SELECT reference, payment_id, charge_number, amount_minor, currency, $6, $7
    FROM charge, unnest($4::text[]) AS reference
    ON CONFLICT (reference) DO NOTHING
    RETURNING reference
), told AS (
    INSERT INTO sandbox_event (event_id, body, deliver_at)
    SELECT message.event_id, message.body, message.deliver_at
    FROM unnest($8::text[], $9::text[], $10::bytea[], $11::timestamptz[])
        AS message (reference, event_id, body, deliver_at)
    JOIN came USING (reference)
)
SELECT count(*) AS came, pg_notify('sandbox', '') FROM came
