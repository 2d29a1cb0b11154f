-- webhooks_waiting: at most $1 messages to be handled now, the oldest first.
SELECT provider, event_id, body, tries FROM webhook_inbox
WHERE handled_at IS NULL AND try_at <= now()
ORDER BY received_at, event_id
LIMIT $1
