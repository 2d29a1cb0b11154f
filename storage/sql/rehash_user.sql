-- rehash_user: a guest's ($1) same password under newer parameters ($3), unless the hash that was checked ($2) was replaced meanwhile.
UPDATE "user" SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2
