-- forget_webhooks: delete messages that were handled before $1, at most $2; how many went.
WITH old AS (
    SELECT provider, event_id FROM webhook_inbox WHERE handled_at < $1 ORDER BY handled_at LIMIT $2
),
gone AS (
    DELETE FROM webhook_inbox USING old
    WHERE webhook_inbox.provider = old.provider AND webhook_inbox.event_id = old.event_id
    RETURNING 1
)
SELECT count(*) FROM gone
