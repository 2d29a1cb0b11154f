-- lock_lease: hold the lease's row of a shard ($1), so that none of its batches, vendor changes or moves is written meanwhile.
SELECT shard_id FROM shard WHERE shard_id = $1 FOR NO KEY UPDATE
