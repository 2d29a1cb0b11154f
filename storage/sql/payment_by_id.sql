-- payment_by_id: a payment with its parts.
SELECT * FROM whole_payment WHERE payment_id = $1
