-- search_by_distance: candidates by the straight line to $6, nearest first, after ($8, $9), at most $10.
--
-- $1 labels, $2 words, $3 party, $4 seat type ("" is any) of price $5, $6 point and $7 chord; each may be null.
SELECT vendor_id, version, shown, (prices ->> $4::text)::bigint AS from_minor, place <-> cube($6::float8[]) AS key
FROM search_vendor
WHERE generation = (SELECT current FROM search_index)
  AND ($1::text[] IS NULL OR labels @> $1)
  AND ($2::text IS NULL OR words @@ $2::text::tsquery)
  AND ($3::integer IS NULL OR party_max >= $3)
  AND ($5::bigint IS NULL OR (prices ->> $4::text)::float8 <= $5::bigint)
  AND ($7::float8 IS NULL
       OR (place <@ cube_enlarge(cube($6::float8[]), $7, 3) AND place <-> cube($6::float8[]) <= $7))
  AND ($8::float8 IS NULL OR (place <-> cube($6::float8[]), vendor_id) > ($8, $9::uuid))
ORDER BY place <-> cube($6::float8[]), vendor_id
LIMIT $10
