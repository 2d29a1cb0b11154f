-- take_words: remove all words of a vendor ($1) and give them back, to be written anew in a finer step.
DELETE FROM seat_word
WHERE seat_id BETWEEN seat_id_of($1::uuid, 1) AND seat_id_of($1::uuid, 1048575)
RETURNING seat_no_of(seat_id) AS seat_no, word, mask
