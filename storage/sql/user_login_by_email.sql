-- user_login_by_email: what a guest's login is checked against; $1 in lower case.
SELECT user_id AS account_id, password_hash FROM "user" WHERE email = $1
