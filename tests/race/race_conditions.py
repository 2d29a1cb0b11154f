"""Passages of the batch's statement, each with what stands there when one protection is taken away."""

NO_FENCE = ("WHERE shard_id = $1 AND epoch = $2\n", "WHERE shard_id = $1\n")
NO_OVERLAP = ("        AND (stored.mask & ~change.clear_bits & change.set_bits) = 0\n", "")
NO_CLEAR = ("        AND (stored.mask & change.clear_bits) = change.clear_bits\n", "")
NO_CLEAR_OF_NOTHING = ("        AND change.clear_bits = 0\n", "")
NO_BIT_COUNT = (
    "sum(bit_count(given.set_bits::bit(64))) = bit_count(bit_or(given.set_bits)::bit(64)) AS each_bit_once",
    "true AS each_bit_once",
)
NO_CLEAR_COUNT = (
    "sum(bit_count(given.clear_bits::bit(64))) = bit_count(bit_or(given.clear_bits)::bit(64))",
    "true",
)
NO_WORD_CHECK = ("WHEN (SELECT count(*) FROM word_written) <> (SELECT count(*) FROM change)", "WHEN false")
NO_PLACED_CHECK = ("WHEN (SELECT count(*) FROM booking_placed) <> $10", "WHEN $10::bigint < 0")
NO_CHANGED_CHECK = ("WHEN (SELECT count(*) FROM booking_changed) <> $11", "WHEN $11::bigint < 0")
NO_VERSION = (" AND stored.version = given.version - 1", "")
NO_GUARD = (
    """    MERGE INTO seat_word AS stored
    USING change ON stored.seat_id = change.seat_id AND stored.word = change.word
    WHEN MATCHED
        AND change.each_bit_once
        AND (stored.mask & change.clear_bits) = change.clear_bits
        AND (stored.mask & ~change.clear_bits & change.set_bits) = 0
        THEN UPDATE SET mask = (stored.mask & ~change.clear_bits) | change.set_bits
    WHEN NOT MATCHED
        AND change.each_bit_once
        AND change.clear_bits = 0
        THEN INSERT (seat_id, word, mask) VALUES (change.seat_id, change.word, change.set_bits)
    RETURNING 1
""",
    """    INSERT INTO seat_word AS stored (seat_id, word, mask)
    SELECT seat_id, word, set_bits FROM change
    ON CONFLICT (seat_id, word) DO UPDATE SET mask = stored.mask | excluded.mask
    RETURNING 1
""",
)
FORGIVING_ANSWERS = (
    "AS given (scope, fingerprint, position)\n",
    "AS given (scope, fingerprint, position)\n    ON CONFLICT (scope) DO NOTHING\n",
)
NO_ANSWER_CHECK = ("WHEN (SELECT count(*) FROM answer_kept) <> cardinality($12)", "WHEN false")
NO_VENDOR = ("    JOIN vendor ON vendor.vendor_id = given.vendor_id\n", "")
