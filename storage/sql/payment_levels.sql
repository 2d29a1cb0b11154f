-- payment_levels: how many payments are due for a look and how many are stuck, how many messages wait and how many of them for a person.
SELECT (SELECT count(*) FROM payment WHERE look_at <= now()) AS due,
       (SELECT count(*) FROM payment WHERE stuck_since IS NOT NULL) AS stuck,
       count(*) AS messages, count(*) FILTER (WHERE try_at IS NULL) AS messages_stuck
FROM webhook_inbox
WHERE handled_at IS NULL
