-- move_bucket: give a bucket ($1) to another shard ($2); the giver's epoch is over in the same transaction, and its holder must take anew.
WITH giver AS (
    UPDATE shard SET epoch = epoch + 1, holder = NULL
    WHERE shard_id = (SELECT shard_id FROM bucket WHERE bucket = $1 AND shard_id <> $2 FOR UPDATE)
    RETURNING shard_id
)
UPDATE bucket SET shard_id = $2 FROM giver WHERE bucket.bucket = $1 RETURNING giver.shard_id
