-- put_search_vendors: index vendors ($1) and their words ($2) in generation $3, or in all there are; says in how many.
--
-- The row of search_index is locked first of all: a rebuild is then taken into use before or after, never in between.
-- A generation takes at most $4 words from a vendor, those of its name first, however often its texts change.
WITH generations AS MATERIALIZED (
    SELECT current, building FROM search_index WHERE $3::bigint IS NULL OR building = $3 FOR SHARE
), filled AS MATERIALIZED (
    SELECT generation
    FROM generations
    CROSS JOIN LATERAL unnest(
        CASE WHEN $3::bigint IS NULL THEN ARRAY[generations.current, generations.building] ELSE ARRAY[$3::bigint] END
    ) AS each (generation)
    WHERE generation IS NOT NULL
), unheard AS MATERIALIZED (
    SELECT filled.generation, said.text, said.word, said.shortened, said.vendor_id, row_number() OVER (
        PARTITION BY filled.generation, said.vendor_id ORDER BY said.text, said.word
    ) AS nth
    FROM filled
    CROSS JOIN jsonb_to_recordset($2::jsonb) AS said (text "char", word text, shortened text[], vendor_id uuid)
    WHERE NOT EXISTS (
        SELECT FROM search_word
        WHERE generation = filled.generation AND text = said.text AND word = said.word
        OFFSET 0  -- so that each is looked up by the index, however many are known
    )
), brought AS MATERIALIZED (
    SELECT who.generation, who.vendor_id, known.words
    FROM (SELECT DISTINCT generation, vendor_id FROM unheard) AS who
    CROSS JOIN LATERAL (
        SELECT count(*) AS words FROM search_word WHERE generation = who.generation AND brought_by = who.vendor_id
    ) AS known
), learnt AS (
    INSERT INTO search_word (generation, text, word, shortened, brought_by)
    SELECT generation, text, word, shortened, vendor_id
    FROM unheard
    JOIN brought USING (generation, vendor_id)
    WHERE nth + brought.words <= $4::integer
    ORDER BY generation, text, word
    ON CONFLICT (generation, text, word) DO NOTHING
), put AS (
    INSERT INTO search_vendor AS known
        (generation, vendor_id, version, words, labels, place, party_max, prices, shown)
    SELECT filled.generation, said.vendor_id, said.version, said.words::tsvector, said.labels, cube(said.place),
           said.party_max, said.prices, said.shown
    FROM filled
    CROSS JOIN jsonb_to_recordset($1::jsonb) AS said (
        vendor_id uuid, version integer, words text, labels text[], place float8[], party_max integer, prices jsonb,
        shown jsonb
    )
    ORDER BY said.vendor_id, filled.generation
    ON CONFLICT (generation, vendor_id) DO UPDATE
    SET version = excluded.version, words = excluded.words, labels = excluded.labels, place = excluded.place,
        party_max = excluded.party_max, prices = excluded.prices, shown = excluded.shown
    WHERE known.version <= excluded.version
)
SELECT count(*) FROM generations
