-- bookings_unnoticed: of the next $3 bookings with an open payment, those that moved on from it while nobody looked, and where the next begin.
--
-- Changed before $1, and ended, waived or without a deposit now, and the payment was not settled by that version; or with
-- another deposit than the payment's. One that is due is looked at anyway, and one that is stuck waits for a person.
-- They come by their id, after the booking $2; the one to go on after is null where these were the last. A payment is open
-- until its booking has ended, which is for months: so the page is cut before anything else is asked for, and payment and
-- booking are each found by their key (LATERAL with LIMIT), whatever the planner may think of the page's size.
WITH page AS MATERIALIZED (
    SELECT DISTINCT booking_id
    FROM payment
    WHERE NOT over AND booking_id > $2::uuid
    ORDER BY booking_id
    LIMIT $3
),

last_read AS (
    SELECT booking_id
    FROM page
    WHERE (SELECT count(*) FROM page) = $3
    ORDER BY booking_id DESC
    LIMIT 1
)

SELECT coalesce(array_agg(page.booking_id ORDER BY page.booking_id), '{}') AS booking_ids,
       (SELECT booking_id FROM last_read) AS read_to
FROM page
CROSS JOIN LATERAL (
    SELECT payment_id, over, stuck_since, look_at, amount_minor, settled_version
    FROM payment WHERE payment.booking_id = page.booking_id ORDER BY payment.number DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT updated_at, status, version, deposit_waived, terms FROM booking WHERE booking.booking_id = page.booking_id LIMIT 1
) AS found
WHERE NOT last.over
  AND last.stuck_since IS NULL
  AND coalesce(last.look_at, 'infinity') > now()
  AND found.updated_at < $1
  AND CASE
      WHEN found.status IN ('BLOCKED', 'CONFIRMED') AND NOT found.deposit_waived
          AND found.terms ->> 'deposit' IS NOT NULL
          THEN (found.terms -> 'deposit' ->> 'amount_minor')::bigint <> last.amount_minor
      -- A visit is settled once its last checkout has closed, and is looked at until then.
      ELSE found.version > last.settled_version AND NOT (
          found.status IN ('AVAILED', 'NO_SHOW')
          AND EXISTS (SELECT FROM payment_charge WHERE payment_charge.payment_id = last.payment_id AND state = 'closing')
      )
  END
