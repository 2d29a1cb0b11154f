-- end_shard_writers: end the backends of a shard's ($1) former owners, which hold its row; ours ends up in no such list.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name LIKE 'holdfast shard=' || ($1::integer)::text || ' epoch=%'
