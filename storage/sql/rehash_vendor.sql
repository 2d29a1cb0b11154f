-- rehash_vendor: a vendor's ($1) same password under newer parameters ($2).
UPDATE vendor SET password_hash = $2 WHERE vendor_id = $1
