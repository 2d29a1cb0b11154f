-- insert_datetimeslot: one service of a restaurant, or a hotel's night.
INSERT INTO vendor_datetimeslot (vendor_id, ordinal, slot_kind, days, first_at, last_at, every_minutes)
VALUES ($1, $2, $3, $4, $5, $6, $7)
