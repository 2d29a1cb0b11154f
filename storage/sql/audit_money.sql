-- audit_money: compare, in one snapshot, the payments of a range of booking ids ($1 to $2) with their bookings and the ledger.
--
-- Money follows a booking within seconds, so what is not yet where it belongs is a fault only where nobody is about to look:
-- the payment is at rest or given up, or its look has been due for longer than $3, and the booking has not changed for that long.
-- Two things need no such grace, because they are written before the booking says so: a confirmed deposit, and the ledger.
--
-- What the house keeps is judged by the money that was there when the booking ended. Where all of it came more than $3 before,
-- that is known, and must be kept to the cent; money that came later was perhaps too late, and then only the most is known.
WITH agreed AS (
    SELECT booking_id, vendor_id, user_id, status, version, deposit_waived, deposit_paid, cancelled_late, bill_minor, updated_at,
           status IN ('BLOCKED', 'CONFIRMED') AS live,
           updated_at < now() - $3::interval AS quiet,
           (terms -> 'deposit' ->> 'amount_minor')::bigint AS deposit_minor,
           terms -> 'deposit' ->> 'currency' AS deposit_currency,
           coalesce((terms ->> 'deposit_version')::integer, 0) AS deposit_version,
           coalesce((terms ->> 'keep_on_late_cancel_percent')::integer, 0) AS late_percent
    FROM booking
    WHERE booking_id BETWEEN $1 AND $2
),
paid AS MATERIALIZED (
    SELECT payment.payment_id, payment.booking_id, payment.vendor_id, payment.user_id, payment.number, payment.currency,
           payment.kept_minor, payment.settled_version, payment.over, payment.stuck_since,
           payment.number = max(payment.number) OVER (PARTITION BY payment.booking_id) AS current,
           coalesce(payment.look_at >= now() - $3::interval, false) AS looked_after,
           came.captured, came.fees, came.last_came_at, gone.refunded, gone.refunding,
           came.captured - gone.refunded - gone.refunding AS net, gone.unfit_refunds,
           asked.first_minor, asked.first_closes, asked.payable_minor, booked.captured_booked, booked.fees_booked,
           booked.kept_booked, booked.refunded_booked, booked.guest_booked, booked.provider_booked, booked.back_before,
           booked.last_back_version
    FROM payment
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0)::bigint AS captured, coalesce(sum(fee_minor), 0)::bigint AS fees,
               max(created_at) AS last_came_at
        FROM payment_capture WHERE payment_id = payment.payment_id
    ) AS came
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(done), 0)::bigint AS refunded, coalesce(sum(open), 0)::bigint AS refunding,
               coalesce(bool_or(too_much OR told_twice), false) AS unfit_refunds
        FROM (
            SELECT sum(back.amount_minor) FILTER (WHERE back.state = 'done') AS done,
                   sum(back.amount_minor) FILTER (WHERE back.state <> 'done') AS open,
                   -- More than its capture was, or of a capture that is not this payment's.
                   (sum(back.amount_minor) <= (
                       SELECT taken.amount_minor FROM payment_capture AS taken
                       WHERE taken.payment_id = payment.payment_id AND taken.reference = back.capture_reference
                   )) IS NOT TRUE AS too_much,
                   -- What a person says of one that was settled by hand may be the same for several.
                   bool_or(back.provider_ref NOT LIKE 'by hand: %' AND 1 < (
                       SELECT count(*) FROM payment_refund AS same
                       WHERE same.provider = back.provider AND same.provider_ref = back.provider_ref
                   )) IS TRUE AS told_twice
            FROM payment_refund AS back
            WHERE back.payment_id = payment.payment_id
            GROUP BY back.capture_reference
        ) AS of_capture
    ) AS gone
    CROSS JOIN LATERAL (
        SELECT min(amount_minor) FILTER (WHERE number = 1) AS first_minor,
               min(closes_at) FILTER (WHERE number = 1) AS first_closes,
               (array_agg(amount_minor ORDER BY number DESC) FILTER (WHERE state IN ('opening', 'open', 'declined')))[1]
                   AS payable_minor
        FROM payment_charge WHERE payment_id = payment.payment_id
    ) AS asked
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(entries.provider) FILTER (WHERE kind = 'capture'), 0) AS captured_booked,
               coalesce(sum(entries.fees), 0) AS fees_booked,
               coalesce(-sum(entries.vendor), 0) AS kept_booked,
               coalesce(sum(entries.guest) FILTER (WHERE kind = 'refund'), 0) AS refunded_booked,
               coalesce(sum(entries.guest), 0) AS guest_booked,
               coalesce(sum(entries.provider), 0) AS provider_booked,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund' AND booking_version < payment.settled_version), 0)::bigint
                   AS back_before,
               max(booking_version) FILTER (WHERE kind = 'refund') AS last_back_version
        FROM ledger_movement
        -- Summed up by movement, so that it is always looked up by its index: a join is planned as a scan while no one has
        -- counted the rows yet.
        CROSS JOIN LATERAL (
            SELECT sum(amount_minor) FILTER (WHERE account = 'guest') AS guest,
                   sum(amount_minor) FILTER (WHERE account = 'vendor') AS vendor,
                   sum(amount_minor) FILTER (WHERE account = 'provider') AS provider,
                   sum(amount_minor) FILTER (WHERE account = 'fees') AS fees
            FROM ledger_entry WHERE movement_id = ledger_movement.movement_id
        ) AS entries
        WHERE ledger_movement.payment_id = payment.payment_id
    ) AS booked
    WHERE payment.booking_id BETWEEN $1 AND $2
),
placed AS (
    SELECT paid.*, agreed.booking_id IS NULL AS departed, coalesce(agreed.quiet, true) AS quiet,
           -- The booking is here for this money, up to its deposit: domain.payment.deposit_due.
           paid.current AND coalesce(agreed.live AND NOT agreed.deposit_waived AND agreed.deposit_currency = paid.currency, false)
               AS wanted,
           agreed.deposit_minor,
           (agreed.vendor_id, agreed.user_id) <> (paid.vendor_id, paid.user_id) IS TRUE AS misfit,
           -- What became of the booking has been settled with the payment, for its last version.
           paid.current AND paid.settled_version > 0 AND coalesce(paid.settled_version = agreed.version, true) AS brought_in_line,
           coalesce(paid.last_came_at < agreed.updated_at - $3::interval AND agreed.quiet, false) AS came_in_time,
           -- The most that the house may keep of it: domain.payment_steps._kept_of. Null where the booking is in the archive.
           CASE
               WHEN agreed.booking_id IS NULL THEN NULL
               WHEN NOT paid.current OR agreed.deposit_waived OR agreed.deposit_currency IS DISTINCT FROM paid.currency THEN 0
               WHEN agreed.status = 'NO_SHOW' THEN held.minor
               WHEN agreed.status = 'AVAILED' THEN least(coalesce(agreed.bill_minor, 0), held.minor)
               WHEN agreed.status = 'CANCELLED' AND agreed.cancelled_late THEN held.minor * agreed.late_percent / 100
               ELSE 0
           END AS keeps_max
    FROM paid
    LEFT JOIN agreed USING (booking_id)
    -- What of its deposit was there when the booking ended, if all that came had come by then.
    CROSS JOIN LATERAL (
        SELECT greatest(least(paid.captured - paid.back_before, agreed.deposit_minor), 0) AS minor
    ) AS held
),
judged AS (
    SELECT *, brought_in_line AND NOT wanted AS settled,
           CASE
               WHEN wanted THEN kept_minor <> 0 OR net NOT BETWEEN 0 AND deposit_minor
               WHEN brought_in_line THEN net <> kept_minor
               ELSE net <> 0
           END AS misplaced
    FROM placed
),
weighed AS (
    SELECT *, captured_booked <> captured OR fees_booked <> fees OR kept_booked <> kept_minor
              OR refunded_booked <> refunded + refunding OR guest_booked <> kept_minor - net
              OR provider_booked <> net - fees AS booked_otherwise,
           settled AND (
               misplaced AND NOT looked_after
               OR coalesce(kept_minor > keeps_max OR kept_minor < keeps_max AND came_in_time, false)
           ) AS not_kept,
           misfit OR unfit_refunds AS unfit,
           refunding > 0 AND NOT looked_after AND stuck_since IS NULL AS left_alone,
           NOT settled AND misplaced AND quiet AND NOT looked_after AS homeless,
           misplaced AND (looked_after OR NOT settled AND NOT quiet) AS on_its_way,
           departed AND NOT over AND NOT looked_after AND stuck_since IS NULL AS left_open,
           format('payment %s of booking %s: %s %s came, %s is back, %s on its way back, %s kept',
                  payment_id, booking_id, captured, currency, refunded, refunding, kept_minor) AS told
    FROM judged
),
deposits AS (
    SELECT booking_id, bool_or(captured >= first_minor) AS came,
           array_agg(number) FILTER (WHERE first_closes IS NOT NULL) AS asked_while_held
    FROM paid
    GROUP BY booking_id
),
confirmed AS (
    SELECT agreed.booking_id, agreed.deposit_minor, agreed.deposit_currency,
           CASE
               WHEN agreed.deposit_paid THEN deposits.came IS NOT TRUE
               -- Else it was confirmed while nothing was due, and an amendment asked for the deposit afterwards: no charge of
               -- a hold, which closes with it, can be the first one for that deposit.
               ELSE agreed.deposit_version <= 1 OR coalesce(agreed.deposit_version = ANY (deposits.asked_while_held), false)
           END AS never_paid,
           -- While it is live only what is above its deposit goes back: so much of it is there after each refund, and never
           -- nothing. Where it was settled once, for a time without a deposit, all of it may have gone back.
           coalesce(
               last.settled_version = 0 AND last.currency = agreed.deposit_currency AND last.refunded + last.refunding > 0
               AND last.net < CASE WHEN last.last_back_version >= agreed.deposit_version THEN agreed.deposit_minor ELSE 1 END,
               false
           ) AS given_back,
           agreed.quiet AND NOT coalesce(last.looked_after, false) AND (
               last.payment_id IS NULL OR last.currency <> agreed.deposit_currency
               OR last.net < agreed.deposit_minor AND last.payable_minor IS DISTINCT FROM agreed.deposit_minor - last.net
           ) AS not_asked
    FROM agreed
    LEFT JOIN deposits USING (booking_id)
    LEFT JOIN paid AS last ON last.booking_id = agreed.booking_id AND last.current
    WHERE agreed.status = 'CONFIRMED' AND NOT agreed.deposit_waived AND agreed.deposit_minor IS NOT NULL
)
SELECT count(*) AS payments, count(*) FILTER (WHERE booked_otherwise) AS booked_otherwise,
       count(*) FILTER (WHERE settled) AS settled, count(*) FILTER (WHERE not_kept) AS not_kept,
       count(*) FILTER (WHERE NOT settled) AS unsettled, count(*) FILTER (WHERE homeless) AS homeless,
       count(*) FILTER (WHERE on_its_way) AS on_its_way,
       count(*) FILTER (WHERE departed) AS departed, count(*) FILTER (WHERE left_open) AS left_open,
       (SELECT count(*) FROM confirmed) AS confirmed,
       (SELECT count(*) FROM confirmed WHERE never_paid OR given_back OR not_asked) AS unpaid,
       count(*) FILTER (WHERE unfit) AS unfit,
       count(*) FILTER (WHERE refunding > 0) AS going_back, count(*) FILTER (WHERE left_alone) AS left_alone,
       (array_agg(format('%s; booked: %s came, %s back or on its way, %s kept, %s fees instead of %s, guest %s, provider %s',
                         told, captured_booked, refunded_booked, kept_booked, fees_booked, fees, guest_booked, provider_booked))
           FILTER (WHERE booked_otherwise))[:5] AS booked_otherwise_examples,
       (array_agg(told || coalesce(format('; %s%s by its terms', CASE WHEN NOT came_in_time THEN 'at most ' END, keeps_max), ''))
           FILTER (WHERE not_kept))[:5] AS not_kept_examples,
       (array_agg(told) FILTER (WHERE homeless))[:5] AS homeless_examples,
       (array_agg(told) FILTER (WHERE left_open))[:5] AS left_open_examples,
       (array_agg(told || CASE
                      WHEN misfit THEN '; its booking is another guest''s or vendor''s' ELSE '; its refunds are not of its money'
                  END)
           FILTER (WHERE unfit))[:5] AS unfit_examples,
       (array_agg(told) FILTER (WHERE left_alone))[:5] AS left_alone_examples,
       ARRAY(
           SELECT format('booking %s: %s %s was to be paid and %s', booking_id, deposit_minor, deposit_currency,
                         CASE
                             WHEN never_paid THEN 'never came' WHEN given_back THEN 'went back' ELSE 'nobody asks for the rest'
                         END)
           FROM confirmed WHERE never_paid OR given_back OR not_asked LIMIT 5
       ) AS unpaid_examples
FROM weighed
