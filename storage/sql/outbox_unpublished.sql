-- outbox_unpublished: the oldest $1 rows not yet published, each shard's in the order of its batches.
--
-- Across shards a row stands where its instant says, but never before an older row of its own shard. So the events of a
-- bucket that moved keep their order too: its new shard writes of it only after the old one's last batch.
WITH oldest AS (
    SELECT waiting.shard_id, waiting.epoch, waiting.seq,
           max(waiting.created_at)
               OVER (PARTITION BY waiting.shard_id ORDER BY waiting.epoch, waiting.seq) AS placed_at
    FROM shard
    CROSS JOIN LATERAL (
        SELECT outbox.shard_id, outbox.epoch, outbox.seq, outbox.created_at
        FROM outbox
        WHERE outbox.shard_id = shard.shard_id AND outbox.published_at IS NULL
        ORDER BY outbox.epoch, outbox.seq
        LIMIT $1
    ) AS waiting
    ORDER BY placed_at, waiting.shard_id, waiting.epoch, waiting.seq
    LIMIT $1
)

SELECT shard_id, epoch, seq, outbox.events, outbox.bookings
FROM oldest JOIN outbox USING (shard_id, epoch, seq)
ORDER BY oldest.placed_at, shard_id, epoch, seq
