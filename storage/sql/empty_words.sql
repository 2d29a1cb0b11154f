-- empty_words: seat-words that hold nothing, of a range of seat ids ($1 to $2), whose time was over before an instant ($3), with their shards, at most $4.
--
-- A shard writes a word to zero where a booking is cancelled or expires; nobody comes for one of the past again.
SELECT bucket.shard_id, stored.seat_id, stored.word
FROM seat_word AS stored
JOIN vendor ON vendor.vendor_id = seat_id_of(stored.seat_id, 0)
JOIN bucket ON bucket.bucket = bucket_of(stored.seat_id)
WHERE stored.seat_id BETWEEN $1 AND $2 AND stored.mask = 0 AND stored.word < slot_at($3, vendor.step_minutes) >> 6
ORDER BY stored.seat_id, stored.word
LIMIT $4
