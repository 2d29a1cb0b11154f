-- audit_ledger: movements of a range of ids ($1 to $2) beside their entries and payments, each currency's sum beside each account's.
WITH entries AS (
    SELECT movement_id, count(*) AS sides, sum(amount_minor) AS rest, max(amount_minor) AS moved,
           count(DISTINCT currency) AS currencies, min(currency) AS currency,
           min(account) FILTER (WHERE amount_minor < 0) AS source, min(holder) FILTER (WHERE amount_minor < 0) AS source_holder,
           min(account) FILTER (WHERE amount_minor > 0) AS target, min(holder) FILTER (WHERE amount_minor > 0) AS target_holder
    FROM ledger_entry
    WHERE movement_id BETWEEN $1 AND $2
    GROUP BY movement_id
),
movements AS (
    SELECT movement_id, payment_id, booking_id, vendor_id, user_id, provider, kind, amount_minor, currency
    FROM ledger_movement WHERE movement_id BETWEEN $1 AND $2
),
-- domain.ledger.movements
ways (kind, source, target) AS (
    VALUES ('capture', 'guest', 'provider'), ('fee', 'provider', 'fees'), ('keep', 'vendor', 'guest'),
           ('give_back', 'guest', 'vendor'), ('refund', 'provider', 'guest')
),
compared AS (
    SELECT movement_id, movements.kind, entries.rest, entries.currency, entries.source, entries.source_holder, entries.target,
           entries.target_holder,
           (entries.sides = 2 AND entries.rest = 0 AND entries.moved = movements.amount_minor AND entries.currencies = 1
            AND entries.currency = movements.currency AND movements.currency = payment.currency
            AND entries.source = ways.source AND entries.target = ways.target
            AND (movements.booking_id, movements.vendor_id, movements.user_id, movements.provider)
                = (payment.booking_id, payment.vendor_id, payment.user_id, payment.provider)
            AND entries.source_holder = CASE entries.source
                WHEN 'guest' THEN payment.user_id::text WHEN 'vendor' THEN payment.vendor_id::text ELSE payment.provider
            END
            AND entries.target_holder = CASE entries.target
                WHEN 'guest' THEN payment.user_id::text WHEN 'vendor' THEN payment.vendor_id::text ELSE payment.provider
            END) IS NOT TRUE AS odd
    FROM movements
    FULL JOIN entries USING (movement_id)
    LEFT JOIN payment ON payment.payment_id = movements.payment_id
    LEFT JOIN ways ON ways.kind = movements.kind
)
SELECT count(*) AS movements, count(*) FILTER (WHERE odd) AS odd,
       coalesce(
           (array_agg(format('movement %s (%s from %s %s to %s %s): its entries sum to %s %s', movement_id, kind,
                             source, source_holder, target, target_holder, coalesce(rest, 0), currency))
               FILTER (WHERE odd))[:5],
           '{}'
       ) AS odd_examples
FROM compared
