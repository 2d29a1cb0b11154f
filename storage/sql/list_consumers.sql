-- list_consumers: what each consumer process said of itself last, how many seconds ago, and what it has parked.
SELECT name, state, handled, lag, last_error, node, pid, extract(epoch FROM now() - seen_at)::float8 AS seen_seconds_ago,
       (SELECT count(*) FROM parked_message WHERE consumer = consumer_state.name AND settled_at IS NULL) AS parked
FROM consumer_state
ORDER BY name
