-- load_answers: what was answered first under these scopes ($1).
SELECT scope, fingerprint, answer FROM idempotency_key WHERE scope = ANY ($1::bytea[])
