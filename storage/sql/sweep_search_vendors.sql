-- sweep_search_vendors: delete at most $1 rows of generations that are of no use any more; says how many.
WITH kept AS (SELECT current, building FROM search_index),
old AS (
    SELECT generation, vendor_id
    FROM search_vendor
    WHERE generation < (SELECT current FROM kept)
       OR (generation > (SELECT current FROM kept) AND generation IS DISTINCT FROM (SELECT building FROM kept))
    LIMIT $1
), swept AS (
    DELETE FROM search_vendor USING old
    WHERE search_vendor.generation = old.generation AND search_vendor.vendor_id = old.vendor_id
    RETURNING 1
)
SELECT count(*) FROM swept
