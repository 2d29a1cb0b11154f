-- insert_words: words in columns ($1 seat_ids, $2 words, $3 masks), none of which may exist.
INSERT INTO seat_word (seat_id, word, mask)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[])
