-- bookings_unnoticed: bookings changed before $1 that moved on from their payment while nobody looked, at most $2.
--
-- Ended, waived or without a deposit now, and the payment was not settled by that version; or with another deposit than
-- the payment's. One that is due is looked at anyway, and one that is stuck waits for a person.
SELECT booking.booking_id
FROM payment
JOIN booking USING (booking_id)
WHERE NOT payment.over
  AND payment.stuck_since IS NULL
  AND coalesce(payment.look_at, 'infinity') > now()
  AND booking.updated_at < $1
  AND NOT EXISTS (
      SELECT FROM payment AS newer WHERE newer.booking_id = payment.booking_id AND newer.number > payment.number
  )
  AND CASE
      WHEN booking.status IN ('BLOCKED', 'CONFIRMED') AND NOT booking.deposit_waived
          AND booking.terms ->> 'deposit' IS NOT NULL
          THEN (booking.terms -> 'deposit' ->> 'amount_minor')::bigint <> payment.amount_minor
      ELSE booking.version > payment.settled_version
  END
LIMIT $2
