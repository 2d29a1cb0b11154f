-- wal_replayed: up to which byte a standby has replayed the primary's log; null from a server that is no standby.
SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint END
