-- sandbox_take: up to $3 messages that are due at $1, the longest due first; they are due again at $2.
WITH due AS MATERIALIZED (
    SELECT delivery_id
    FROM sandbox_event
    WHERE delivered_at IS NULL AND deliver_at IS NOT NULL AND deliver_at <= $1
    ORDER BY deliver_at, delivery_id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE sandbox_event SET deliver_at = $2, tries = tries + 1
FROM due
WHERE sandbox_event.delivery_id = due.delivery_id
RETURNING sandbox_event.delivery_id, event_id, body, tries
