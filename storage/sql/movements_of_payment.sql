-- movements_of_payment: everything that was booked for a payment ($1), oldest first.
SELECT movement.*, source.account AS source, target.account AS target
FROM ledger_movement AS movement
JOIN ledger_entry AS source ON source.movement_id = movement.movement_id AND source.amount_minor < 0
JOIN ledger_entry AS target ON target.movement_id = movement.movement_id AND target.amount_minor > 0
WHERE movement.payment_id = $1
ORDER BY movement.movement_id
