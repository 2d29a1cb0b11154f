-- drop_relay_lease: a relay ($1) leaves the outbox to others.
DELETE FROM relay_lease WHERE holder = $1
