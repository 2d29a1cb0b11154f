-- take_shard: raise the epoch and own the shard ($1), if the directory names this actor ($2); $3 holder, $4 node, $5 pid.
UPDATE shard
SET epoch = epoch + 1, holder = $3, node = $4, pid = $5, taken_at = now(), express_address = NULL
WHERE shard_id = $1 AND actor_id = $2
RETURNING epoch
