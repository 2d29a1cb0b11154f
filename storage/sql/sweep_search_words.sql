-- sweep_search_words: delete at most $1 words of generations that are of no use any more; says how many.
WITH kept AS (SELECT current, building FROM search_index),
old AS (
    SELECT generation, text, word
    FROM search_word
    WHERE generation < (SELECT current FROM kept)
       OR (generation > (SELECT current FROM kept) AND generation IS DISTINCT FROM (SELECT building FROM kept))
    LIMIT $1
), swept AS (
    DELETE FROM search_word USING old
    WHERE search_word.generation = old.generation AND search_word.text = old.text AND search_word.word = old.word
    RETURNING 1
)
SELECT count(*) FROM swept
