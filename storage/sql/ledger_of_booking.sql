-- ledger_of_booking: what a booking's ($1) movements from $2 to before $3 sum up to, by currency and account.
SELECT entry.currency, entry.account, sum(entry.amount_minor)::bigint AS amount_minor
FROM ledger_movement AS movement
JOIN ledger_entry AS entry USING (movement_id)
WHERE movement.booking_id = $1
  AND movement.moved_at >= coalesce($2::timestamptz, '-infinity')
  AND movement.moved_at < coalesce($3::timestamptz, 'infinity')
GROUP BY entry.currency, entry.account
ORDER BY entry.currency, entry.account
