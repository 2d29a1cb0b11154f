-- payments_due_of_booking: those of booking $1 to be looked at by $2, each with its tries.
SELECT payment_id, tries FROM payment WHERE booking_id = $1 AND look_at <= $2
