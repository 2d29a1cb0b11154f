-- ask_replay: have the consumer try one parked message again; no row where it is settled or unknown.
UPDATE parked_message SET replay_asked_at = now() WHERE parked_id = $1 AND settled_at IS NULL RETURNING parked_id
