-- nudge_payments: have the payments of the bookings in $1 looked at now, also by who is looking at them just then; how many.
WITH asked AS (
    SELECT payment_id FROM payment WHERE booking_id = ANY ($1::uuid[]) ORDER BY payment_id FOR NO KEY UPDATE
),
nudged AS (
    UPDATE payment
    SET look_at = least(look_at, now()), nudges = nudges + 1
    FROM asked
    WHERE payment.payment_id = asked.payment_id
    RETURNING payment.payment_id
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('payments', '') END FROM nudged
