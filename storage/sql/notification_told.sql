-- notification_told: whether an event of topics $2 of booking $1 was told by channel $3, itself or by a newer one.
SELECT EXISTS (SELECT FROM notification WHERE booking_id = $1 AND topic = ANY($2) AND channel = $3 AND state <> 'begun')
