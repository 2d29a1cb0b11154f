-- take_relay_lease: a relay ($1) holds the outbox for $2 more seconds, unless another does; true where it does.
INSERT INTO relay_lease AS lease (holder, held_until) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT (singleton) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE lease.holder = excluded.holder OR lease.held_until < now()
RETURNING true
