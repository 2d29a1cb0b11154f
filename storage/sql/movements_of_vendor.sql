-- movements_of_vendor: a vendor's ($1) movements from $2 to before $3, oldest first, after the position ($4, $5), at most $6.
SELECT movement.*, source.account AS source, target.account AS target
FROM ledger_movement AS movement
JOIN ledger_entry AS source ON source.movement_id = movement.movement_id AND source.amount_minor < 0
JOIN ledger_entry AS target ON target.movement_id = movement.movement_id AND target.amount_minor > 0
WHERE movement.vendor_id = $1
  AND movement.moved_at >= coalesce($2::timestamptz, '-infinity')
  AND movement.moved_at < coalesce($3::timestamptz, 'infinity')
  AND (movement.moved_at, movement.movement_id) > (coalesce($4::timestamptz, '-infinity'), coalesce($5::bigint, 0))
ORDER BY movement.moved_at, movement.movement_id
LIMIT $6
