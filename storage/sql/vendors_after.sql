-- vendors_after: vendors after id $1, in order, at most $2, whole; for whoever reads them all.
SELECT vendor_id, facts FROM vendor WHERE vendor_id > $1 ORDER BY vendor_id LIMIT $2
