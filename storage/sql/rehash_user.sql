-- rehash_user: a guest's ($1) same password under newer parameters ($2).
UPDATE "user" SET password_hash = $2 WHERE user_id = $1
