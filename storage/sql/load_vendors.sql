-- load_vendors: vendors by id ($1) with what is taken: words, and by start slot the covers of a house that sets a pace.
--
-- What lies more than a week behind the shard's newest instant is left out: nobody can book it, and it only grows.
SELECT vendor.vendor_id, vendor.facts, taken.seat_nos, taken.words, taken.masks, covered.slots, covered.covers
FROM unnest($1::uuid[]) AS wanted (vendor_id)
JOIN vendor ON vendor.vendor_id = wanted.vendor_id
LEFT JOIN bucket ON bucket.bucket = bucket_of(vendor.vendor_id)
LEFT JOIN shard ON shard.shard_id = bucket.shard_id
CROSS JOIN LATERAL (
    SELECT coalesce(shard.last_instant - interval '7 days', '1970-01-01 00:00:00+00') AS instant
) AS oldest
CROSS JOIN LATERAL (
    SELECT array_agg(seat_no_of(seat_word.seat_id)) AS seat_nos,
           array_agg(seat_word.word) AS words,
           array_agg(seat_word.mask) AS masks
    FROM seat_word
    WHERE seat_word.seat_id BETWEEN seat_id_of(vendor.vendor_id, 1) AND seat_id_of(vendor.vendor_id, 1048575)
      AND seat_word.word >= slot_at(oldest.instant, vendor.step_minutes) >> 6
      AND seat_word.mask <> 0
) AS taken
CROSS JOIN LATERAL (
    SELECT array_agg(by_slot.slot) AS slots, array_agg(by_slot.covers) AS covers
    FROM (
        SELECT booking.first_slot * (booking.step_minutes / vendor.step_minutes) AS slot,
               sum(booking.party_size)::integer AS covers
        FROM booking
        WHERE vendor.facts ->> 'covers_per_step' IS NOT NULL AND vendor.step_minutes > 0
          AND booking.vendor_id = vendor.vendor_id AND booking.starts_at > oldest.instant
          AND booking.held_slot_count > 0
        GROUP BY 1
    ) AS by_slot
) AS covered
