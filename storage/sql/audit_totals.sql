-- audit_totals: sizes, and what waits longer than $1 in the outbox: the relay publishes a row within a second, unless the log is away.
WITH stuck AS (
    SELECT shard_id, epoch, seq, created_at FROM outbox WHERE published_at IS NULL AND created_at < now() - $1::interval
)
SELECT (SELECT count(*) FROM vendor) AS vendors, (SELECT count(*) FROM outbox) AS outbox_rows,
       (SELECT count(*) FROM idempotency_key) AS answers, (SELECT count(*) FROM stuck) AS outbox_stuck,
       (SELECT count(*) FROM parked_message WHERE settled_at IS NULL) AS parked,
       ARRAY(
           SELECT format('shard %s epoch %s batch %s, committed at %s', shard_id, epoch, seq, created_at)
           FROM stuck ORDER BY created_at LIMIT 5
       ) AS outbox_examples
