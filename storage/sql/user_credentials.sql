-- user_credentials: what a guest's ($1) password is checked against.
SELECT user_id AS account_id, password_hash FROM "user" WHERE user_id = $1
