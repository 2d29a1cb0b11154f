-- audit_ledger: movements of a range of ids ($1 to $2) beside their entries and payments, each currency's sum beside each account's.
WITH entries AS (
    SELECT movement_id, count(*) AS sides, sum(amount_minor) AS rest, max(amount_minor) AS moved,
           count(DISTINCT currency) AS currencies, min(currency) AS currency
    FROM ledger_entry
    WHERE movement_id BETWEEN $1 AND $2
    GROUP BY movement_id
),
movements AS (
    SELECT movement_id, payment_id, booking_id, amount_minor, currency FROM ledger_movement WHERE movement_id BETWEEN $1 AND $2
),
compared AS (
    SELECT movement_id, entries.rest, entries.currency,
           (entries.sides = 2 AND entries.rest = 0 AND entries.moved = movements.amount_minor AND entries.currencies = 1
            AND entries.currency = movements.currency AND movements.currency = payment.currency
            AND movements.booking_id = payment.booking_id) IS NOT TRUE AS odd
    FROM movements
    FULL JOIN entries USING (movement_id)
    LEFT JOIN payment ON payment.payment_id = movements.payment_id
)
SELECT count(*) AS movements, count(*) FILTER (WHERE odd) AS odd,
       coalesce(
           (array_agg(format('movement %s: its entries sum to %s %s', movement_id, coalesce(rest, 0), currency)) FILTER (WHERE odd))[:5],
           '{}'
       ) AS odd_examples
FROM compared
