-- put_search_vendors: index vendors ($1) and their words ($2) in generation $3, or in all there are; says in how many.
--
-- The row of search_index is locked first of all: a rebuild is then taken into use before or after, never in between.
WITH generations AS MATERIALIZED (
    SELECT current, building FROM search_index WHERE $3::bigint IS NULL OR building = $3 FOR SHARE
), learnt AS (
    INSERT INTO search_word (word, shortened)
    SELECT word, shortened
    FROM jsonb_to_recordset($2::jsonb) AS heard (word text, shortened text[])
    WHERE EXISTS (SELECT FROM generations)
    ORDER BY word
    ON CONFLICT (word) DO NOTHING
), put AS (
    INSERT INTO search_vendor AS known
        (generation, vendor_id, version, words, labels, place, party_max, prices, shown)
    SELECT filled.generation, said.vendor_id, said.version, said.words::tsvector, said.labels, cube(said.place),
           said.party_max, said.prices, said.shown
    FROM generations
    CROSS JOIN LATERAL unnest(
        CASE WHEN $3::bigint IS NULL THEN ARRAY[generations.current, generations.building] ELSE ARRAY[$3::bigint] END
    ) AS filled (generation)
    CROSS JOIN jsonb_to_recordset($1::jsonb) AS said (
        vendor_id uuid, version integer, words text, labels text[], place float8[], party_max integer, prices jsonb,
        shown jsonb
    )
    WHERE filled.generation IS NOT NULL
    ORDER BY said.vendor_id, filled.generation
    ON CONFLICT (generation, vendor_id) DO UPDATE
    SET version = excluded.version, words = excluded.words, labels = excluded.labels, place = excluded.place,
        party_max = excluded.party_max, prices = excluded.prices, shown = excluded.shown
    WHERE known.version <= excluded.version
)
SELECT count(*) FROM generations
