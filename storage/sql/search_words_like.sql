-- search_words_like: for each word sought ($1) the nearest known words, at most $2 of each text, of at most $3 looked at.
--
-- A swap counts as two here, so twice the edits are let through; whoever asks measures those few anew.
SELECT sought.word AS sought, near.text::text, near.word
FROM jsonb_to_recordset($1::jsonb) AS sought (word text, edits integer, forms text[])
CROSS JOIN LATERAL (
    SELECT text, word, row_number() OVER (PARTITION BY text ORDER BY apart, word COLLATE "C") AS nth
    FROM (
        SELECT text, word, levenshtein_less_equal(word, sought.word, 2 * sought.edits) AS apart
        FROM search_word
        WHERE generation = (SELECT current FROM search_index)
          AND shortened && sought.forms
          AND char_length(word) BETWEEN char_length(sought.word) - sought.edits AND char_length(sought.word) + sought.edits
        LIMIT $3
    ) AS measured
    WHERE apart <= 2 * sought.edits
) AS near
WHERE near.nth <= $2
