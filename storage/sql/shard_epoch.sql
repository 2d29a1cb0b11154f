-- shard_epoch: the newest epoch of a shard ($1).
SELECT epoch FROM shard WHERE shard_id = $1
