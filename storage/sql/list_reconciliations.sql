-- list_reconciliations: at most $2 of provider $1 (of all, if null), the newest day first.
SELECT * FROM reconciliation WHERE $1::text IS NULL OR provider = $1 ORDER BY day DESC, provider LIMIT $2
