-- settle_parked: a parked message needs nobody any more, because it was 'replayed' or 'dropped' ($2); no row where it was settled.
UPDATE parked_message SET settled_at = now(), settled_how = $2, replay_asked_at = NULL
WHERE parked_id = $1 AND settled_at IS NULL
RETURNING parked_id
