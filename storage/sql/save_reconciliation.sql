-- save_reconciliation: keep a day's ($1) reconciliation with a provider ($2): our sums, theirs, the differences ($3 to $5, JSON arrays).
INSERT INTO reconciliation (day, provider, ours, theirs, differences)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (day, provider) DO UPDATE
SET made_at = now(), ours = excluded.ours, theirs = excluded.theirs, differences = excluded.differences
RETURNING made_at
