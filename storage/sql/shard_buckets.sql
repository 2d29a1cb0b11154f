-- shard_buckets: the buckets of a shard ($1).
SELECT bucket FROM bucket WHERE shard_id = $1
