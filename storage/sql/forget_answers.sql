-- forget_answers: drop answers under idempotency keys that are older than $1, at most $2; how many went.
-- Whichever are found first, and by their place: the keys are digests, so their index would be read here and there.
WITH gone AS (
    DELETE FROM idempotency_key
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_key WHERE created_at < $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM gone
