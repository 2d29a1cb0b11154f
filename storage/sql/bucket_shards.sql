-- bucket_shards: the shard of each bucket, in order of buckets.
SELECT shard_id FROM bucket ORDER BY bucket
