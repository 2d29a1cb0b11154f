-- The event log, the archive, the search index and what consumers keep, for installations without servers for them.
-- depends: 20261123_01_first-tables

-- migrate: apply

CREATE EXTENSION IF NOT EXISTS cube;
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;

CREATE INDEX outbox_unpublished ON outbox (shard_id, epoch, seq) WHERE published_at IS NULL;

CREATE TABLE event_partition (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE event_partition IS
    'The end of each partition. Who appends locks its row, so that offsets become visible in their order.';

CREATE TABLE event_message (
    topic text NOT NULL,
    partition integer NOT NULL,
    message_offset bigint NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, message_offset)
);
COMMENT ON TABLE event_message IS 'The event log of an installation without Kafka.';

CREATE TABLE event_claim (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    member uuid,
    PRIMARY KEY (group_name, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE event_claim IS
    'How far each group has read each partition, and which member reads it: its own until somebody else''s id stands there.';

CREATE TABLE event_member (
    group_name text NOT NULL,
    member uuid NOT NULL,
    alive_until timestamptz NOT NULL,
    PRIMARY KEY (group_name, member)
);
COMMENT ON TABLE event_member IS
    'The members of each group, among whom its partitions are shared out. The claims of one that is over are free.';

CREATE TABLE relay_lease (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder uuid NOT NULL,
    held_until timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE relay_lease IS 'The relay that publishes the outbox now; another takes it over once it is over. See storage/outbox.py.';

CREATE TABLE parked_message (
    parked_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    message_offset bigint NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    tries integer NOT NULL DEFAULT 1,
    replay_asked_at timestamptz,
    settled_at timestamptz,
    settled_how text CHECK (settled_how IN ('replayed', 'dropped'))
);
COMMENT ON TABLE parked_message IS 'Messages that a consumer could not handle, with the error, until somebody replays or drops them.';
CREATE UNIQUE INDEX parked_once ON parked_message (consumer, topic, partition, message_offset, sha256(value));
COMMENT ON INDEX parked_once IS
    'The value counts too: a log that was made anew gives the same offsets to other messages, and none of them may be lost.';
CREATE INDEX parked_unsettled ON parked_message (consumer, parked_id) WHERE settled_at IS NULL;

CREATE TABLE consumer_state (
    name text PRIMARY KEY,
    state text NOT NULL,
    handled bigint NOT NULL,
    lag bigint,
    last_error text NOT NULL,
    node text NOT NULL,
    pid integer NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE consumer_state IS 'What each consumer process said of itself last, for operators: holdfast status reads it.';

CREATE FUNCTION over_since(updated_at timestamptz, ends_at timestamptz, held_slot_count integer) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN held_slot_count > 0 THEN greatest(updated_at, ends_at) ELSE updated_at END;
COMMENT ON FUNCTION over_since IS
    'Since when nothing happens to an ended booking: its last change, or the end of what it holds where that is later.';

CREATE INDEX booking_to_depart ON booking (over_since(updated_at, ends_at, held_slot_count), booking_id)
    WHERE status IN ('AVAILED', 'CANCELLED', 'NO_SHOW', 'EXPIRED');

CREATE TABLE archived_booking (
    booking_id uuid PRIMARY KEY,
    version integer NOT NULL,
    user_id uuid NOT NULL,
    vendor_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    status text NOT NULL,
    booking jsonb NOT NULL
);
COMMENT ON TABLE archived_booking IS 'The archive of an installation without Cassandra: ended bookings, whole.';
CREATE INDEX archived_booking_of_user ON archived_booking (user_id, starts_at DESC, booking_id DESC);
CREATE INDEX archived_booking_of_vendor ON archived_booking (vendor_id, starts_at DESC, booking_id DESC);

CREATE TABLE notification (
    booking_id uuid NOT NULL,
    version integer NOT NULL,
    topic text NOT NULL,
    channel text NOT NULL,
    state text NOT NULL CHECK (state IN ('begun', 'sent', 'superseded', 'deferred', 'refused')),
    begun_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    error text,
    sender text,
    recipient text,
    message bytea,
    PRIMARY KEY (booking_id, version, topic, channel)
);
COMMENT ON COLUMN notification.sender IS 'From whom the letter goes, kept while it is deferred and no longer.';
COMMENT ON COLUMN notification.recipient IS 'To whom the letter goes, kept while it is deferred and no longer.';
COMMENT ON COLUMN notification.message IS 'The letter itself, kept while it is deferred and no longer.';
CREATE INDEX notification_deferred ON notification (next_try_at) WHERE state = 'deferred';
COMMENT ON TABLE notification IS
    'What guests were told, once for each event and channel. One that stays begun is a crash between the two steps.';

-- The search index of an installation without Elasticsearch. Written and read by storage/postgres_search_index.py.

CREATE TABLE search_index (
    the_only_row boolean PRIMARY KEY DEFAULT true CHECK (the_only_row),
    current bigint NOT NULL DEFAULT 1,
    building bigint,
    last bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);
COMMENT ON TABLE search_index IS
    'Which generation of search_vendor is searched, which one a rebuild fills beside it, and the last number given.';
INSERT INTO search_index DEFAULT VALUES;

CREATE TABLE search_vendor (
    generation bigint NOT NULL,
    vendor_id uuid NOT NULL,
    version integer NOT NULL,
    words tsvector NOT NULL,
    labels text[] NOT NULL,
    place cube NOT NULL,
    party_max integer NOT NULL,
    prices jsonb NOT NULL,
    shown jsonb NOT NULL,
    PRIMARY KEY (generation, vendor_id)
);
COMMENT ON TABLE search_vendor IS 'A vendor as it is searched: see storage/search_document.py.';
COMMENT ON COLUMN search_vendor.words IS 'Folded words: weight A the name, in its order; B cuisines, amenities, city, kind; D the description.';
COMMENT ON COLUMN search_vendor.labels IS 'What is compared whole, each with its field: "city:porto", "cuisine:thai".';
COMMENT ON COLUMN search_vendor.place IS 'A point in space, kilometres from the centre of the earth: see storage/sphere.py.';
COMMENT ON COLUMN search_vendor.prices IS 'Lowest price in minor units by seat type, null where it has none, and of all under the empty name.';
CREATE INDEX search_vendor_words ON search_vendor USING gin (words);
CREATE INDEX search_vendor_labels ON search_vendor USING gin (labels);
CREATE INDEX search_vendor_place ON search_vendor USING gist (place);
CREATE INDEX search_vendor_price
    ON search_vendor (generation, coalesce((prices ->> '')::float8, 'infinity'::float8), vendor_id);

CREATE TABLE search_word (
    generation bigint NOT NULL,
    text "char" NOT NULL,
    word text NOT NULL,
    shortened text[] NOT NULL,
    brought_by uuid NOT NULL,
    PRIMARY KEY (generation, text, word)
);
COMMENT ON TABLE search_word IS
    'The words of each text (A name, B about, D description) since the generation began, by which mistyped ones are found.';
COMMENT ON COLUMN search_word.shortened IS 'What is left of its beginning without one or two letters.';
COMMENT ON COLUMN search_word.brought_by IS 'The vendor that had it first. Each may bring only so many to a generation.';
CREATE INDEX search_word_shortened ON search_word USING gin (shortened);
CREATE INDEX search_word_brought_by ON search_word (generation, brought_by);

-- migrate: rollback

DROP TABLE search_word;
DROP TABLE search_vendor;
DROP TABLE search_index;
DROP TABLE notification;
DROP TABLE archived_booking;
DROP INDEX booking_to_depart;
DROP FUNCTION over_since;
DROP TABLE consumer_state;
DROP TABLE parked_message;
DROP TABLE relay_lease;
DROP TABLE event_member;
DROP TABLE event_claim;
DROP TABLE event_message;
DROP TABLE event_partition;
DROP INDEX outbox_unpublished;
DROP EXTENSION fuzzystrmatch;
DROP EXTENSION cube;
