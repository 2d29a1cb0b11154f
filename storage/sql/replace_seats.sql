-- replace_seats: a vendor's ($1) seats that are new or changed ($2..$8 in columns); those it gave up ($9) are kept as inactive.
WITH present AS (
    INSERT INTO vendor_seat (vendor_id, seat_no, seat_id, name, seat_type, capacity_min, capacity_max, price_minor)
    SELECT $1, given.*
    FROM unnest($2::integer[], $3::uuid[], $4::text[], $5::text[], $6::integer[], $7::integer[], $8::bigint[]) AS given
    ON CONFLICT (vendor_id, seat_no) DO UPDATE
    SET name = excluded.name, seat_type = excluded.seat_type, capacity_min = excluded.capacity_min,
        capacity_max = excluded.capacity_max, price_minor = excluded.price_minor, active = true
)
UPDATE vendor_seat SET active = false
WHERE vendor_id = $1 AND seat_no = ANY ($9::integer[])
