-- user_by_id: a guest ($1) without the password.
SELECT user_id, version, email, name, created_at, updated_at, phone, locale FROM "user" WHERE user_id = $1
