-- rest_payment: payment $1 was looked at to its end, at revision $2 and after $3 nudges: the next look is at $4 (never, if null), and $5 whether it is over.
UPDATE payment
SET look_at = $4, over = $5, tries = 0, error = NULL,
    stuck_since = CASE WHEN NOT $5 THEN stuck_since END,
    stuck_reason = CASE WHEN NOT $5 THEN stuck_reason END
WHERE payment_id = $1 AND revision = $2 AND nudges = $3
