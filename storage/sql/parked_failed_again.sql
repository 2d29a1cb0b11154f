-- parked_failed_again: a replay of a parked message failed with error $2 after $3 tries; it waits to be asked for again.
UPDATE parked_message SET error = $2, tries = tries + $3, replay_asked_at = NULL
WHERE parked_id = $1 AND settled_at IS NULL
