-- vendors_changed_since: vendors after id $1 that changed at $3 or later, in order, at most $2, whole.
SELECT vendor_id, facts
FROM vendor
WHERE vendor_id > $1 AND (facts ->> 'updated_at')::timestamptz >= $3
ORDER BY vendor_id
LIMIT $2
