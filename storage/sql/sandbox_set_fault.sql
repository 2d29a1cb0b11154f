-- sandbox_set_fault: have $1 go wrong from now on ($2), or no more.
WITH mended AS (
    DELETE FROM sandbox_fault WHERE name = $1 AND NOT $2
)
INSERT INTO sandbox_fault (name) SELECT $1 WHERE $2
ON CONFLICT (name) DO NOTHING
