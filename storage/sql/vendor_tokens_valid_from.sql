-- vendor_tokens_valid_from: tokens of a vendor ($1) issued before this instant are over.
SELECT tokens_valid_from FROM vendor WHERE vendor_id = $1
