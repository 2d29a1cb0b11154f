-- user_tokens_valid_from: tokens of a guest ($1) issued before this instant are over.
SELECT tokens_valid_from FROM "user" WHERE user_id = $1
