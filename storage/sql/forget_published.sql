-- forget_published: of the oldest $2 rows of each shard's outbox, drop those that were published before $1.
WITH old AS (
    SELECT found.shard_id, found.epoch, found.seq
    FROM shard
    CROSS JOIN LATERAL (
        SELECT * FROM outbox WHERE outbox.shard_id = shard.shard_id ORDER BY outbox.epoch, outbox.seq LIMIT $2
    ) AS found
    WHERE found.published_at < $1
),

gone AS (
    DELETE FROM outbox
    USING old
    WHERE outbox.shard_id = old.shard_id AND outbox.epoch = old.epoch AND outbox.seq = old.seq
    RETURNING 1
)

SELECT count(*) FROM gone
