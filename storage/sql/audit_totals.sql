-- audit_totals: sizes, and what waits longer than $1 in the outbox: the relay publishes a row within a second, unless the log is away.
--
-- The outbox and the remembered answers are counted up to $2 rows; beyond that the server's own estimate is good enough.
WITH stuck AS (
    SELECT shard_id, epoch, seq, created_at FROM outbox WHERE published_at IS NULL AND created_at < now() - $1::interval
),
few AS (
    SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT $2::integer + 1) AS first_rows) AS outbox_rows,
           (SELECT count(*) FROM (SELECT FROM idempotency_key LIMIT $2::integer + 1) AS first_rows) AS answers
),
estimate AS (
    SELECT (SELECT reltuples::bigint FROM pg_class WHERE oid = 'outbox'::regclass) AS outbox_rows,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'idempotency_key'::regclass) AS answers
)
SELECT (SELECT count(*) FROM vendor) AS vendors, (SELECT count(*) FROM stuck) AS outbox_stuck,
       few.outbox_rows > $2 AS outbox_about,
       CASE WHEN few.outbox_rows > $2 THEN greatest(estimate.outbox_rows, few.outbox_rows) ELSE few.outbox_rows END AS outbox_rows,
       few.answers > $2 AS answers_about,
       CASE WHEN few.answers > $2 THEN greatest(estimate.answers, few.answers) ELSE few.answers END AS answers,
       (SELECT count(*) FROM parked_message WHERE settled_at IS NULL) AS parked,
       ARRAY(
           SELECT format('shard %s epoch %s batch %s, committed at %s', shard_id, epoch, seq, created_at)
           FROM stuck ORDER BY created_at LIMIT 5
       ) AS outbox_examples
FROM few, estimate
