-- retry_payment: payment $1 is stuck no longer and is looked at now; no row where there is none.
WITH asked AS (
    UPDATE payment
    SET look_at = now(), nudges = nudges + 1, tries = 0, error = NULL, failing_since = NULL, stuck_since = NULL,
        stuck_reason = NULL
    WHERE payment_id = $1
    RETURNING payment_id
)
SELECT true, pg_notify('payments', payment_id::text) FROM asked
