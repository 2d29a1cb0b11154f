-- payment_look_failed: a look at payment $1 failed, the next one is at $2; $3 the error.
UPDATE payment SET look_at = $2, tries = tries + 1, error = $3 WHERE payment_id = $1
