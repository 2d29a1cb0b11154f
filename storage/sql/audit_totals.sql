-- audit_totals: sizes that are printed and not judged; how late the outbox is, is judged once a relay empties it.
SELECT (SELECT count(*) FROM vendor) AS vendors, (SELECT count(*) FROM outbox) AS outbox_rows,
       (SELECT count(*) FROM idempotency_key) AS answers
