-- rest_payment: payment $1 was looked at to its end, at revision $2 and after $3 nudges: the next look is at $4 (never, if null), and $5 whether it is over.
--
-- Nothing hinders it, so it is not stuck any more.
UPDATE payment
SET look_at = $4, over = $5, tries = 0, error = NULL, failing_since = NULL, stuck_since = NULL, stuck_reason = NULL
WHERE payment_id = $1 AND revision = $2 AND nudges = $3
