-- wal_written: up to which byte the primary has written its log; every commit that it has acknowledged lies before it.
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
