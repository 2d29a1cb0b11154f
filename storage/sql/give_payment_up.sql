-- give_payment_up: nobody looks at payment $1 by themselves any more, for the reason in $2; it is stuck since it first was.
UPDATE payment
SET look_at = NULL, stuck_since = coalesce(stuck_since, now()), stuck_reason = $2
WHERE payment_id = $1
