-- Accounts, vendors, seats, bookings, the shards' leases and the guard's words.
-- depends:

-- migrate: apply

CREATE TABLE "user" (
    user_id uuid PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    password_hash text NOT NULL,
    tokens_valid_from timestamptz NOT NULL DEFAULT '-infinity',
    name text NOT NULL,
    phone text,
    locale text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE "user" IS 'A guest with an account.';

CREATE TABLE city (
    city_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
COMMENT ON TABLE city IS 'Cities as vendors write them; a row is made with the first vendor of a city.';

CREATE TABLE vendor (
    vendor_id uuid PRIMARY KEY,
    city_id integer NOT NULL REFERENCES city,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    password_hash text NOT NULL,
    tokens_valid_from timestamptz NOT NULL DEFAULT '-infinity',
    facts jsonb NOT NULL,
    version integer NOT NULL GENERATED ALWAYS AS ((facts ->> 'version')::integer) STORED,
    kind text NOT NULL GENERATED ALWAYS AS (facts ->> 'kind') STORED,
    name text NOT NULL GENERATED ALWAYS AS (facts ->> 'name') STORED,
    time_zone text NOT NULL GENERATED ALWAYS AS (facts ->> 'time_zone') STORED,
    step_minutes integer NOT NULL GENERATED ALWAYS AS ((facts ->> 'step_minutes')::integer) STORED
);
COMMENT ON TABLE vendor IS 'A restaurant or a hotel: its login, and in facts the whole domain.vendor.Vendor.';
COMMENT ON COLUMN vendor.vendor_id IS 'The first 12 bits are its bucket, the last 20 are zero: see domain/ids.py.';
COMMENT ON COLUMN vendor.step_minutes IS 'Length of a slot; 0 where a slot is a night.';

CREATE TABLE vendor_seat (
    vendor_id uuid NOT NULL REFERENCES vendor,
    seat_no integer NOT NULL CHECK (seat_no BETWEEN 1 AND 1048575),
    seat_id uuid NOT NULL,
    name text NOT NULL,
    seat_type text NOT NULL,
    capacity_min integer NOT NULL,
    capacity_max integer NOT NULL,
    price_minor bigint,
    active boolean NOT NULL DEFAULT true,
    PRIMARY KEY (vendor_id, seat_no)
);
COMMENT ON TABLE vendor_seat IS
    'One bookable table or room. Unfolded from vendor.facts, which shards load; rows are never deleted, because bookings name them.';
COMMENT ON COLUMN vendor_seat.seat_id IS 'vendor_id with seat_no in its last 20 bits.';

CREATE TABLE vendor_datetimeslot (
    vendor_id uuid NOT NULL REFERENCES vendor,
    ordinal integer NOT NULL,
    slot_kind text NOT NULL CHECK (slot_kind IN ('sitting', 'night')),
    days smallint[] NOT NULL,
    first_at time NOT NULL,
    last_at time NOT NULL,
    every_minutes integer NOT NULL,
    PRIMARY KEY (vendor_id, ordinal)
);
COMMENT ON TABLE vendor_datetimeslot IS
    'When a vendor''s seats can be had: a restaurant''s services (a party may sit down from first_at to last_at every so many '
    'minutes on these weekdays, Monday 0), or a hotel''s night (from check-in to check-out). The pattern, never one row per instant.';

CREATE TABLE seat_word (
    seat_id uuid NOT NULL,
    word integer NOT NULL,
    mask bigint NOT NULL,
    PRIMARY KEY (seat_id, word)
) WITH (fillfactor = 70);
COMMENT ON TABLE seat_word IS
    'The guard: bit n of a word is slot word * 64 + n of that seat, 1 while a booking holds it. A row exists once anything in it was taken.';

CREATE TABLE booking (
    booking_id uuid NOT NULL,
    vendor_id uuid NOT NULL,
    user_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    hold_expires_at timestamptz,
    no_show_at timestamptz,
    version integer NOT NULL,
    party_size integer NOT NULL,
    first_slot integer NOT NULL,
    slot_count integer NOT NULL,
    held_slot_count integer NOT NULL,
    step_minutes integer NOT NULL,
    check_in date,
    check_out date,
    deposit_waived boolean NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    seats jsonb NOT NULL,
    terms jsonb NOT NULL,
    seat_type text,
    price jsonb,
    notes text,
    contact jsonb,
    cancel_reason text,
    PRIMARY KEY (booking_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE booking IS
    'One reservation, column by column domain.booking.Booking. No foreign keys: the batch that inserts it joins its vendor, '
    'and a key''s row lock per booking would cost more than the booking.';
CREATE INDEX booking_of_user ON booking (user_id, starts_at);
CREATE INDEX booking_of_vendor ON booking (vendor_id, starts_at);
CREATE INDEX booking_blocked ON booking (booking_id) WHERE status = 'BLOCKED';
CREATE INDEX booking_to_settle ON booking (ends_at) WHERE status = 'CONFIRMED';

CREATE TABLE idempotency_key (
    scope bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE idempotency_key IS
    'The first success under a client''s key: scope is a digest of caller, vendor and key, answer the booking as it was then.';
CREATE INDEX idempotency_key_by_age ON idempotency_key USING brin (created_at);

CREATE TABLE shard (
    shard_id integer PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0,
    seq_epoch bigint NOT NULL DEFAULT 0,
    actor_id text,
    holder uuid,
    node text,
    pid integer,
    express_address text,
    last_instant timestamptz,
    taken_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE shard IS 'Who may write a shard: a statement that does not find its epoch here writes nothing.';
COMMENT ON COLUMN shard.seq IS 'Number of the last batch written, and seq_epoch the epoch it was written in.';
COMMENT ON COLUMN shard.actor_id IS 'The actor that may take the shard; the present owner writes on until it does.';
COMMENT ON COLUMN shard.holder IS 'Drawn by chance at each take: lets the owner, and nobody else, raise its own epoch.';
COMMENT ON COLUMN shard.last_instant IS 'Newest instant written, so that time never goes backwards over a restart.';

CREATE TABLE bucket (
    bucket smallint PRIMARY KEY CHECK (bucket BETWEEN 0 AND 4095),
    shard_id integer NOT NULL REFERENCES shard
);
CREATE INDEX bucket_of_shard ON bucket (shard_id);
COMMENT ON TABLE bucket IS 'Which shard serves the ids that begin with these 12 bits.';

CREATE TABLE outbox (
    shard_id integer NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    events jsonb NOT NULL,
    bookings jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (shard_id, epoch, seq)
);
COMMENT ON TABLE outbox IS
    'One row per batch, keyed by the number the shard gave it: its events in order, and the bookings they speak of. See storage/event_json.py.';

CREATE FUNCTION bucket_of(id uuid) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN ('x' || left(id::text, 3))::bit(12)::integer;
COMMENT ON FUNCTION bucket_of IS 'The first 12 bits of a vendor, seat or booking id.';

CREATE FUNCTION first_id_of_bucket(bucket integer) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN (lpad(to_hex(bucket), 3, '0') || '00000-0000-0000-0000-000000000000')::uuid;
COMMENT ON FUNCTION first_id_of_bucket IS 'Lower bound of a bucket''s ids, so that a bucket is a range of any index on an id.';

CREATE FUNCTION seat_id_of(vendor_id uuid, seat_no integer) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN (left(vendor_id::text, 31) || lpad(to_hex(seat_no), 5, '0'))::uuid;
COMMENT ON FUNCTION seat_id_of IS 'The vendor''s id with the seat''s number in its last 20 bits.';

CREATE FUNCTION seat_no_of(seat_id uuid) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN ('x' || right(seat_id::text, 5))::bit(20)::integer;
COMMENT ON FUNCTION seat_no_of IS 'The inverse of seat_id_of.';

CREATE FUNCTION slot_at(instant timestamptz, step_minutes integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN CASE WHEN step_minutes > 0 THEN floor(extract(epoch FROM instant) / 60 / step_minutes)::integer
                ELSE ((instant AT TIME ZONE 'UTC')::date - '0001-01-01'::date) + 1 END;
COMMENT ON FUNCTION slot_at IS
    'The slot of an instant: for a restaurant minutes since 1970 in steps, for a hotel (step 0) the day''s ordinal. See domain/slots.py.';

CREATE FUNCTION refuse_batch(code text, reason text) RETURNS void
    LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = reason; END $$;
COMMENT ON FUNCTION refuse_batch IS
    'Ends a batch''s statement and so rolls all of it back: HF001 fenced, HF002 refused by the guard.';

CREATE VIEW bookable_seat_slot AS
SELECT booking.booking_id,
       booking.vendor_id,
       seat_id_of(booking.vendor_id, seat.seat_no) AS seat_id,
       seat.seat_no,
       slot.slot,
       slot.slot >> 6 AS word,
       (slot.slot & 63) AS bit,
       booking.status
FROM booking
JOIN vendor USING (vendor_id)
CROSS JOIN LATERAL (
    SELECT CASE WHEN vendor.step_minutes > 0 THEN booking.step_minutes / vendor.step_minutes ELSE 1 END AS scale
) AS finer
CROSS JOIN LATERAL (
    SELECT (value ->> 'seat_no')::integer AS seat_no FROM jsonb_array_elements(booking.seats)
) AS seat
CROSS JOIN LATERAL generate_series(
    booking.first_slot * finer.scale, (booking.first_slot + booking.held_slot_count) * finer.scale - 1
) AS slot (slot)
WHERE booking.held_slot_count > 0;
COMMENT ON VIEW bookable_seat_slot IS
    'One row per seat and slot that a booking holds: the seed''s n:n between vendor_seat and vendor_datetimeslot, and its 1:n from '
    'booking. Unfolded from bookings, because 10 million seats times every slot are 29 billion rows; seat_word is the compact form that '
    'the guard keeps, and verify compares the two. Slots count in the vendor''s present step.';

-- migrate: rollback

DROP VIEW bookable_seat_slot;
DROP FUNCTION refuse_batch;
DROP FUNCTION slot_at;
DROP FUNCTION seat_no_of;
DROP FUNCTION seat_id_of;
DROP FUNCTION first_id_of_bucket;
DROP FUNCTION bucket_of;
DROP TABLE outbox;
DROP TABLE bucket;
DROP TABLE shard;
DROP TABLE idempotency_key;
DROP TABLE booking;
DROP TABLE seat_word;
DROP TABLE vendor_datetimeslot;
DROP TABLE vendor_seat;
DROP TABLE vendor;
DROP TABLE city;
DROP TABLE "user";
