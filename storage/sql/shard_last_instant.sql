-- shard_last_instant: the newest instant that a shard ($1) wrote.
SELECT last_instant FROM shard WHERE shard_id = $1
