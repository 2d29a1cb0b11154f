-- audit_money_sums: in each currency, what came, what went and what is there, of the payments of a range of booking ids ($1 to $2).
SELECT payment.currency, coalesce(sum(came.captured), 0)::bigint AS captured, coalesce(sum(came.fees), 0)::bigint AS fees,
       coalesce(sum(gone.refunded), 0)::bigint AS refunded, coalesce(sum(gone.refunding), 0)::bigint AS refunding,
       sum(payment.kept_minor)::bigint AS kept
FROM payment
CROSS JOIN LATERAL (
    SELECT sum(amount_minor) AS captured, sum(fee_minor) AS fees FROM payment_capture WHERE payment_id = payment.payment_id
) AS came
CROSS JOIN LATERAL (
    SELECT sum(amount_minor) FILTER (WHERE state = 'done') AS refunded,
           sum(amount_minor) FILTER (WHERE state <> 'done') AS refunding
    FROM payment_refund WHERE payment_id = payment.payment_id
) AS gone
WHERE payment.booking_id BETWEEN $1 AND $2
GROUP BY payment.currency
