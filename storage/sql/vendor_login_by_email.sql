-- vendor_login_by_email: what a vendor's login is checked against; $1 in lower case.
SELECT vendor_id AS account_id, password_hash FROM vendor WHERE email = $1
