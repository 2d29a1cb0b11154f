-- list_shards: every shard with its owner and how many buckets it serves.
SELECT shard.shard_id, shard.epoch, coalesce(shard.actor_id, '') AS actor_id, coalesce(shard.node, '') AS node,
       coalesce(shard.pid, 0) AS pid, coalesce(shard.express_address, '') AS address,
       (SELECT count(*) FROM bucket WHERE bucket.shard_id = shard.shard_id) AS buckets
FROM shard
ORDER BY shard.shard_id
