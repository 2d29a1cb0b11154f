-- sandbox_undelivered: message $1 was not taken, because of $2; it is due again at $3, never if null.
UPDATE sandbox_event SET deliver_at = $3, error = $2 WHERE delivery_id = $1 AND delivered_at IS NULL
