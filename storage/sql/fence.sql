-- fence: lock the lease's row for a vendor's transaction and see that the epoch ($2) of the shard ($1) is still ours; $3 seq, $4 instant.
UPDATE shard
SET seq = $3, seq_epoch = epoch, last_instant = greatest(last_instant, $4)
WHERE shard_id = $1 AND epoch = $2
RETURNING shard_id
