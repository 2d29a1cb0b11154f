-- mark_published: rows of the outbox ($1 shard_ids, $2 epochs, $3 seqs) are in the event log.
UPDATE outbox
SET published_at = now()
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS done (shard_id, epoch, seq)
WHERE outbox.shard_id = done.shard_id AND outbox.epoch = done.epoch AND outbox.seq = done.seq
  AND outbox.published_at IS NULL
