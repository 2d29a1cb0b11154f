-- webhooks_stuck: at most $1 messages that wait for a person, the oldest first.
SELECT provider, event_id, body, tries, error, received_at FROM webhook_inbox
WHERE handled_at IS NULL AND try_at IS NULL
ORDER BY received_at, event_id
LIMIT $1
