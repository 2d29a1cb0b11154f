-- depart_words: delete seat-words ($2 seat_ids, $3 words) of a shard ($1) that still hold nothing; how many went.
--
-- To be run under the lease's lock, in a statement of its own, so that it sees what was true once the lock was had. A missing
-- word and an empty one mean the same, to the guard as to verify, so a batch that waits for the lock takes either.
WITH departed AS (
    DELETE FROM seat_word AS stored
    USING unnest($2::uuid[], $3::integer[]) AS empty (seat_id, word), bucket
    WHERE stored.seat_id = empty.seat_id AND stored.word = empty.word AND stored.mask = 0
      AND bucket.bucket = bucket_of(stored.seat_id) AND bucket.shard_id = $1
    RETURNING 1
)
SELECT count(*) FROM departed
