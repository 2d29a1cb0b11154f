-- retake_shard: raise the epoch of a shard ($1) that this holder ($2) still holds, also if an earlier try was not heard of.
UPDATE shard
SET epoch = epoch + 1
WHERE shard_id = $1 AND holder = $2
RETURNING epoch
