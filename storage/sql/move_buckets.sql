-- move_buckets: give each bucket ($1) to the shard beside it ($2), and say who gave it away. The givers' epochs are over in the
-- same transaction, and their holders must take anew.
WITH wanted AS (
    SELECT bucket, asked.shard_id AS taker, bucket.shard_id AS giver
    FROM unnest($1::smallint[], $2::integer[]) AS asked (bucket, shard_id) JOIN bucket USING (bucket)
    WHERE bucket.shard_id <> asked.shard_id
    ORDER BY bucket
    FOR UPDATE OF bucket
), ended AS (
    UPDATE shard SET epoch = epoch + 1, holder = NULL
    FROM (
        SELECT shard_id FROM shard WHERE shard_id IN (SELECT giver FROM wanted) ORDER BY shard_id FOR UPDATE
    ) AS giver
    WHERE shard.shard_id = giver.shard_id
)
UPDATE bucket SET shard_id = taker FROM wanted WHERE bucket.bucket = wanted.bucket RETURNING giver
