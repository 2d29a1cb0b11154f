-- seed_shards: make $1 shards where there are fewer, and give every bucket that nobody has yet to one of them in turn.
WITH made AS (
    INSERT INTO shard (shard_id) SELECT generate_series(0, $1::integer - 1) ON CONFLICT (shard_id) DO NOTHING
)
INSERT INTO bucket (bucket, shard_id)
SELECT bucket, bucket % $1::integer FROM generate_series(0, 4095) AS bucket
ON CONFLICT (bucket) DO NOTHING
