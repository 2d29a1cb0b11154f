-- give_payment_up: only a person can go on with payment $1, for the reason in $5; it is stuck since it first was, and looked at again at $4 (never, if null).
--
-- Only as it was looked at, at revision $2 and after $3 nudges: whoever changed it since wants it looked at.
UPDATE payment
SET look_at = $4, stuck_since = coalesce(stuck_since, now()), stuck_reason = $5
WHERE payment_id = $1 AND revision = $2 AND nudges = $3
