-- batch_written: whether batch $3 of shard $1 in epoch $2 was committed; the outbox row may have been purged since.
SELECT EXISTS (SELECT FROM outbox WHERE shard_id = $1 AND epoch = $2 AND seq = $3)
    OR EXISTS (SELECT FROM shard WHERE shard_id = $1 AND seq_epoch = $2 AND seq = $3)
