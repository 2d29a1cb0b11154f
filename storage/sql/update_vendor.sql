-- update_vendor: a vendor's ($1) new facts ($3) and city ($2), if it is still at version $4.
WITH place AS (
    INSERT INTO city (name) VALUES ($2) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING city_id
)
UPDATE vendor SET city_id = place.city_id, facts = $3::jsonb
FROM place
WHERE vendor.vendor_id = $1 AND vendor.version = $4
RETURNING vendor.vendor_id
