-- insert_user: a new guest's account.
INSERT INTO "user" (user_id, version, email, password_hash, name, phone, locale, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
