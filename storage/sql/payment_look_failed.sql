-- payment_look_failed: a look at payment $1 failed, at revision $2 and after $3 nudges; the next one is at $4; $5 the error.
--
-- Where none has come to its end for as long as $6, a person is asked too: it is stuck for that error until one does,
-- or for the reason that was told first, where nothing happened anew ($7).
UPDATE payment
SET look_at = $4, tries = tries + 1, error = $5, failing_since = coalesce(failing_since, now()),
    stuck_since = CASE
        WHEN coalesce(failing_since, now()) <= now() - $6::interval THEN coalesce(stuck_since, now())
        ELSE stuck_since
    END,
    stuck_reason = CASE
        WHEN coalesce(failing_since, now()) <= now() - $6::interval
            THEN CASE WHEN $7 THEN $5 ELSE coalesce(stuck_reason, $5) END
        ELSE stuck_reason
    END
WHERE payment_id = $1 AND revision = $2 AND nudges = $3
