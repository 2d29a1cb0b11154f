-- ask_replay_all: have consumer $1, or every one where it is null, try all of its parked messages again; how many.
WITH asked AS (
    UPDATE parked_message SET replay_asked_at = now()
    WHERE settled_at IS NULL AND ($1::text IS NULL OR consumer = $1)
    RETURNING parked_id
)
SELECT count(*) FROM asked
