-- payments_stuck: payments that wait for a person, with their parts, the longest stuck first, at most $1.
SELECT * FROM whole_payment WHERE stuck_since IS NOT NULL ORDER BY stuck_since, payment_id LIMIT $1
