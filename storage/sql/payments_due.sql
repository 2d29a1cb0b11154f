-- payments_due: payments to be looked at by $1, the longest due first, at most $2.
SELECT payment_id, booking_id, tries FROM payment WHERE look_at <= $1 ORDER BY look_at LIMIT $2
