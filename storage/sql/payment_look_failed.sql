-- payment_look_failed: a look at payment $1 failed, at revision $2 and after $3 nudges; the next one is at $4; $5 the error.
UPDATE payment SET look_at = $4, tries = tries + 1, error = $5 WHERE payment_id = $1 AND revision = $2 AND nudges = $3
