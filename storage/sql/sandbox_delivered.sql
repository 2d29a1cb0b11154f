-- sandbox_delivered: message $1 was taken at $2.
UPDATE sandbox_event SET delivered_at = $2, error = '' WHERE delivery_id = $1
