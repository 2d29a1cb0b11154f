-- search_words_like: words that have one of the shortened forms $1, so that they may be meant by a mistyped one.
SELECT word FROM search_word WHERE shortened && $1::text[]
