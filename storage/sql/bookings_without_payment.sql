-- bookings_without_payment: live bookings without the payment that they want, changed before $1 (and since $2, if given), at most $3.
--
-- The mirror of domain.payment.new_payment: until it is confirmed, another deposit is another payment; later only
-- another currency is. The first conditions are those of the index booking_with_deposit. Nearly all bookings have the
-- payment of their deposit, which an index alone can tell; so the rest is asked of those that have not, and afterwards.
WITH unpaid AS MATERIALIZED (
    SELECT booking_id, status, updated_at, terms -> 'deposit' ->> 'currency' AS currency
    FROM booking
    WHERE status IN ('BLOCKED', 'CONFIRMED')
      AND NOT deposit_waived
      AND terms ->> 'deposit' IS NOT NULL
      AND updated_at < $1
      AND updated_at >= coalesce($2::timestamptz, '-infinity')
      AND NOT EXISTS (
          SELECT FROM payment
          WHERE payment.booking_id = booking.booking_id
            AND payment.number >= coalesce((booking.terms ->> 'deposit_version')::integer, 1)
      )
)
SELECT unpaid.booking_id
FROM unpaid
WHERE unpaid.status = 'BLOCKED'
   OR unpaid.currency IS DISTINCT FROM (
       SELECT payment.currency FROM payment
       WHERE payment.booking_id = unpaid.booking_id ORDER BY payment.number DESC LIMIT 1
   )
ORDER BY unpaid.updated_at
LIMIT $3
