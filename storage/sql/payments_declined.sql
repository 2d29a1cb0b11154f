-- payments_declined: those of the bookings in $1 whose last payment's last try to pay was declined, and may be tried again.
SELECT wanted.booking_id
FROM unnest($1::uuid[]) AS wanted (booking_id)
CROSS JOIN LATERAL (
    SELECT payment_id FROM payment WHERE payment.booking_id = wanted.booking_id ORDER BY number DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT state FROM payment_charge
    WHERE payment_charge.payment_id = last.payment_id AND state IN ('opening', 'open', 'declined')
    ORDER BY number DESC LIMIT 1
) AS payable
WHERE payable.state = 'declined'
