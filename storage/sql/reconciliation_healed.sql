-- reconciliation_healed: the differences ($4, a JSON array) of the reconciliation of day $1 with provider $2 made at $3, once healed.
UPDATE reconciliation SET differences = $4 WHERE day = $1 AND provider = $2 AND made_at = $3 RETURNING day
