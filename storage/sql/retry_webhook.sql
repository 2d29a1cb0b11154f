-- retry_webhook: try a message (provider $1, id $2) now that was not handled; no row where there is none.
WITH asked AS (
    UPDATE webhook_inbox SET try_at = now(), tries = 0
    WHERE provider = $1 AND event_id = $2 AND handled_at IS NULL
    RETURNING provider
)
SELECT true, pg_notify('payments', '') FROM asked
