-- payment_attention: when payment $1 is looked at next, and what it waits for.
SELECT look_at, tries, error, stuck_since AS since, stuck_reason AS reason, over FROM payment WHERE payment_id = $1
