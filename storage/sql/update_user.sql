-- update_user: a guest's ($1) account, if it is at version $2; without a new hash ($7) or instant ($8) those stay.
UPDATE "user"
SET version = $2 + 1, name = $3, phone = $4, locale = $5, updated_at = $6,
    password_hash = coalesce($7, password_hash), tokens_valid_from = coalesce($8, tokens_valid_from)
WHERE user_id = $1 AND version = $2
RETURNING user_id
