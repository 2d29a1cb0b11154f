-- give_payment_up: only a person can go on with payment $1, for the reason in $5; it is stuck since it first was, and looked at again at $4 (never, if null).
--
-- Stuck already, it keeps the reason that was told first, unless something happened anew ($6).
-- Only as it was looked at, at revision $2 and after $3 nudges: whoever changed it since wants it looked at.
UPDATE payment
SET look_at = $4, failing_since = NULL, stuck_since = coalesce(stuck_since, now()),
    stuck_reason = CASE WHEN $6 THEN $5 ELSE coalesce(stuck_reason, $5) END
WHERE payment_id = $1 AND revision = $2 AND nudges = $3
