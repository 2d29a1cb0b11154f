-- insert_vendor: a new vendor ($1 id, $2 city, $3 e-mail, $4 password hash, $5 facts) and its city, if that is new.
WITH place AS (
    INSERT INTO city (name) VALUES ($2) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING city_id
)
INSERT INTO vendor (vendor_id, city_id, email, password_hash, facts)
SELECT $1, place.city_id, $3, $4, $5::jsonb FROM place
