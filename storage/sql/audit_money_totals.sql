-- audit_money_totals: how far the ledger goes, and what waits for a person or for the payment desk.
SELECT greatest(
           (SELECT coalesce(max(movement_id), 0) FROM ledger_movement), (SELECT coalesce(max(movement_id), 0) FROM ledger_entry)
       ) AS last_movement_id,
       (SELECT count(*) FROM payment WHERE stuck_since IS NOT NULL) AS stuck,
       (SELECT count(*) FROM webhook_inbox WHERE handled_at IS NULL) AS messages
