-- name_shard_writer: say in pg_stat_activity which shard and epoch ($1) this connection writes for, and wait longer for locks.
SELECT set_config('application_name', $1, false), set_config('lock_timeout', '10s', false)
