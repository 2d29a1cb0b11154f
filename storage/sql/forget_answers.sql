-- forget_answers: drop answers under idempotency keys that are older than $1.
WITH gone AS (DELETE FROM idempotency_key WHERE created_at < $1 RETURNING 1)
SELECT count(*) FROM gone
