-- audit_ledger_sums: what entries of a range of movements ($1 to $2) add to each account in each currency. A movement is there whole or not at all.
SELECT currency, coalesce(sum(amount_minor) FILTER (WHERE account = 'guest'), 0)::bigint AS guest,
       coalesce(sum(amount_minor) FILTER (WHERE account = 'vendor'), 0)::bigint AS vendor,
       coalesce(sum(amount_minor) FILTER (WHERE account = 'provider'), 0)::bigint AS provider,
       coalesce(sum(amount_minor) FILTER (WHERE account = 'fees'), 0)::bigint AS fees
FROM ledger_entry
WHERE movement_id BETWEEN $1 AND $2
GROUP BY currency
