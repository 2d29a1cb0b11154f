-- outbox_lag: how many rows wait to be published, and for how many seconds the oldest has.
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision AS oldest_seconds
FROM outbox
WHERE published_at IS NULL
