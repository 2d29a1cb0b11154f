-- count_parked: how many parked messages of consumer $1 nobody has settled.
SELECT count(*) FROM parked_message WHERE consumer = $1 AND settled_at IS NULL
