-- vendor_page: ids of a shard's ($1) vendors after $2, in order, at most $3; for the background sweep.
SELECT vendor.vendor_id
FROM vendor
JOIN bucket ON bucket.bucket = bucket_of(vendor.vendor_id)
WHERE bucket.shard_id = $1 AND vendor.vendor_id > $2
ORDER BY vendor.vendor_id
LIMIT $3
