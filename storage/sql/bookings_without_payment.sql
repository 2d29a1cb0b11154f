-- bookings_without_payment: of the next $4 live bookings that want a deposit, those without the payment for it, and where the next $4 begin.
--
-- They come by when they last changed, after the place $2, $3 (an instant and a booking) and before $1; the place to go on
-- is null where these were the last. The mirror of domain.payment_steps.new_payment: until it is confirmed, another deposit
-- is another payment; later only another currency is. The page is cut before payments are asked for, so that a statement
-- costs the same however many bookings there are; its conditions are those of the index booking_with_deposit.
WITH page AS MATERIALIZED (
    SELECT booking_id, updated_at, status, terms -> 'deposit' ->> 'currency' AS currency,
           coalesce((terms ->> 'deposit_version')::integer, 1) AS number
    FROM booking
    WHERE status IN ('BLOCKED', 'CONFIRMED')
      AND NOT deposit_waived
      AND terms ->> 'deposit' IS NOT NULL
      AND updated_at < $1
      AND (updated_at, booking_id) > ($2::timestamptz, $3::uuid)
    ORDER BY updated_at, booking_id
    LIMIT $4
),

last_read AS (
    SELECT updated_at, booking_id
    FROM page
    WHERE (SELECT count(*) FROM page) = $4
    ORDER BY updated_at DESC, booking_id DESC
    LIMIT 1
)

SELECT coalesce(array_agg(page.booking_id ORDER BY page.updated_at, page.booking_id), '{}') AS booking_ids,
       (SELECT updated_at FROM last_read) AS read_to, (SELECT booking_id FROM last_read) AS read_to_booking
FROM page
LEFT JOIN LATERAL (
    SELECT payment.number FROM payment WHERE payment.booking_id = page.booking_id ORDER BY payment.number DESC LIMIT 1
) AS last ON true
WHERE coalesce(last.number, 0) < page.number
  AND (
      page.status = 'BLOCKED'
      OR page.currency IS DISTINCT FROM (
          SELECT payment.currency FROM payment
          WHERE payment.booking_id = page.booking_id AND payment.number = last.number
      )
  )
