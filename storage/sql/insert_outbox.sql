-- insert_outbox: the events ($4) of a vendor's batch, which speak of no bookings.
INSERT INTO outbox (shard_id, epoch, seq, events, bookings) VALUES ($1, $2, $3, $4::jsonb, '[]')
