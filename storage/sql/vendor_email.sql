-- vendor_email: a vendor's ($1) own e-mail address.
SELECT email FROM vendor WHERE vendor_id = $1
