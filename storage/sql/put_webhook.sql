-- put_webhook: keep a provider's message ($1 provider, $2 its id, $3 body) and wake who handles it; no row where it is there already.
WITH kept AS (
    INSERT INTO webhook_inbox (provider, event_id, body) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
    RETURNING provider
)
SELECT true, pg_notify('payments', '') FROM kept
