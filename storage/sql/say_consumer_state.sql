-- say_consumer_state: what a consumer process says of itself now.
INSERT INTO consumer_state (name, state, handled, lag, last_error, node, pid)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE
SET state = excluded.state, handled = excluded.handled, lag = excluded.lag, last_error = excluded.last_error,
    node = excluded.node, pid = excluded.pid, seen_at = now()
