-- Deposits: payments with their ledger, what providers tell us, reconciliation, and the tables of the built-in provider.
-- depends: 20261123_02_flows

-- migrate: apply

ALTER TABLE booking
    ADD COLUMN deposit_paid boolean NOT NULL DEFAULT false,
    ADD COLUMN cancelled_late boolean NOT NULL DEFAULT false,
    ADD COLUMN bill_minor bigint;

CREATE INDEX booking_with_deposit ON booking (updated_at, booking_id)
    WHERE status IN ('BLOCKED', 'CONFIRMED') AND NOT deposit_waived AND terms ->> 'deposit' IS NOT NULL;
COMMENT ON INDEX booking_with_deposit IS 'Those that must have a payment: the sweeper looks for the ones that a crash left without.';

-- Payments. Written and read by storage/postgres_payments.py, by one statement for each change and its movements.

CREATE TABLE payment (
    payment_id uuid PRIMARY KEY,
    booking_id uuid NOT NULL,
    vendor_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    look_at timestamptz DEFAULT now(),
    stuck_since timestamptz,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    kept_minor bigint NOT NULL CHECK (kept_minor >= 0),
    number integer NOT NULL,
    settled_version integer NOT NULL,
    revision integer NOT NULL,
    nudges integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    over boolean NOT NULL DEFAULT false,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    provider text NOT NULL,
    error text,
    stuck_reason text,
    UNIQUE (booking_id, number),
    CHECK ((stuck_since IS NULL) = (stuck_reason IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE payment IS
    'The deposit of a booking as it was agreed on in its version "number": domain.payment.Payment, without its parts. No foreign key '
    'to booking, which leaves for the archive while its payments stay.';
COMMENT ON COLUMN payment.revision IS 'Counts its changes; whoever writes must name the last one.';
COMMENT ON COLUMN payment.nudges IS 'Counts the looks that were asked for; who has looked must have seen the last one.';
COMMENT ON COLUMN payment.look_at IS 'When somebody has to look at it; null where only news can change it.';
COMMENT ON COLUMN payment.over IS 'No money is open: its booking may leave the current tables.';
COMMENT ON COLUMN payment.tries IS 'Looks that failed one after the other, and error what the last one said.';
CREATE INDEX payment_to_look_at ON payment (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX payment_open ON payment (booking_id) WHERE NOT over;
CREATE INDEX payment_stuck ON payment (stuck_since) WHERE stuck_since IS NOT NULL;

CREATE TABLE payment_charge (
    payment_id uuid NOT NULL REFERENCES payment,
    number integer NOT NULL CHECK (number > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    closes_at timestamptz,
    state text NOT NULL CHECK (state IN ('opening', 'open', 'declined', 'paid', 'closing', 'closed')),
    provider text NOT NULL,
    provider_ref text,
    checkout_url text,
    PRIMARY KEY (payment_id, number)
) WITH (fillfactor = 70);
COMMENT ON TABLE payment_charge IS 'A sum that the guest was asked for, one checkout each: domain.payment.Charge.';
CREATE UNIQUE INDEX payment_charge_once ON payment_charge (provider, provider_ref) WHERE provider_ref IS NOT NULL;

CREATE TABLE payment_capture (
    payment_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    charge_number integer NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    fee_minor bigint NOT NULL CHECK (fee_minor >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    provider text NOT NULL,
    reference text NOT NULL,
    PRIMARY KEY (payment_id, number),
    CONSTRAINT payment_capture_once UNIQUE (provider, reference),
    FOREIGN KEY (payment_id, charge_number) REFERENCES payment_charge
);
CREATE INDEX payment_capture_by_time ON payment_capture (provider, created_at);
COMMENT ON TABLE payment_capture IS 'Money that came, each once for all payments of a provider: domain.payment.Capture. Number counts from 1.';

CREATE TABLE payment_refund (
    payment_id uuid NOT NULL REFERENCES payment,
    number integer NOT NULL CHECK (number > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL CHECK (state IN ('wanted', 'sent', 'done', 'refused')),
    provider text NOT NULL,
    capture_reference text NOT NULL,
    provider_ref text,
    PRIMARY KEY (payment_id, number),
    FOREIGN KEY (provider, capture_reference) REFERENCES payment_capture (provider, reference)
) WITH (fillfactor = 70);
COMMENT ON TABLE payment_refund IS 'Money that goes back, all or part of one capture: domain.payment.Refund.';
CREATE INDEX payment_refund_of_capture ON payment_refund (provider, capture_reference);
CREATE INDEX payment_refund_by_time ON payment_refund (provider, changed_at);
CREATE INDEX payment_refund_by_reference ON payment_refund (provider, provider_ref) WHERE provider_ref IS NOT NULL;

CREATE VIEW whole_payment AS
SELECT payment.*,
       (
           SELECT coalesce(jsonb_agg(charge ORDER BY charge.number), '[]')
           FROM (
               SELECT number, amount_minor, state, closes_at, provider_ref, checkout_url
               FROM payment_charge WHERE payment_charge.payment_id = payment.payment_id
           ) AS charge
       ) AS charges,
       (
           SELECT coalesce(jsonb_agg(received.capture ORDER BY received.number), '[]')
           FROM (
               SELECT number, jsonb_build_object(
                   'reference', reference, 'charge_number', charge_number, 'amount_minor', amount_minor, 'fee_minor', fee_minor
               ) AS capture
               FROM payment_capture WHERE payment_capture.payment_id = payment.payment_id
           ) AS received
       ) AS captures,
       (
           SELECT coalesce(jsonb_agg(refund ORDER BY refund.number), '[]')
           FROM (
               SELECT number, capture_reference, amount_minor, state, provider_ref
               FROM payment_refund WHERE payment_refund.payment_id = payment.payment_id
           ) AS refund
       ) AS refunds
FROM payment;
COMMENT ON VIEW whole_payment IS 'A payment with its parts in their order, as JSON by the names of domain.payment''s fields.';

-- The ledger. Written with payments only, never changed: a mistake is mended by another movement.

CREATE TABLE ledger_movement (
    movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payment,
    booking_id uuid NOT NULL,
    vendor_id uuid NOT NULL,
    user_id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    moved_at timestamptz NOT NULL DEFAULT now(),
    booking_version integer NOT NULL,
    payment_revision integer NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('capture', 'fee', 'keep', 'give_back', 'refund')),
    currency text NOT NULL,
    provider text NOT NULL,
    reference text NOT NULL,
    UNIQUE (payment_id, payment_revision, position)
);
COMMENT ON TABLE ledger_movement IS
    'Why money moved between accounts: domain.payment.Movement with its cause, the booking''s version and the provider''s reference.';
COMMENT ON COLUMN ledger_movement.position IS 'Counts from 1 what one change of the payment moved.';
COMMENT ON COLUMN ledger_movement.reference IS 'The provider''s name for the capture that came or is given back; empty where it has none.';
CREATE INDEX ledger_movement_of_vendor ON ledger_movement (vendor_id, moved_at, movement_id);
CREATE INDEX ledger_movement_of_booking ON ledger_movement (booking_id);
CREATE INDEX ledger_movement_by_time ON ledger_movement USING brin (moved_at);

CREATE TABLE ledger_entry (
    movement_id bigint NOT NULL REFERENCES ledger_movement,
    account text NOT NULL CHECK (account IN ('guest', 'vendor', 'provider', 'fees')),
    holder text NOT NULL,
    currency text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (movement_id, account)
);
COMMENT ON TABLE ledger_entry IS
    'One side of a movement; a movement''s entries sum to zero. What we owe is below zero (guest, vendor), what we have is above it.';
COMMENT ON COLUMN ledger_entry.holder IS 'Whose account: the guest''s or vendor''s id, or the provider''s name.';

CREATE FUNCTION refuse_ledger_change() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% of %: the ledger is only ever added to', TG_OP, TG_TABLE_NAME; END $$;
COMMENT ON FUNCTION refuse_ledger_change IS 'What is in the ledger stays as it is.';
CREATE TRIGGER ledger_movement_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_movement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

CREATE FUNCTION check_movement() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    balanced boolean;
BEGIN
    SELECT count(*) = 2 AND sum(entry.amount_minor) = 0 AND max(entry.amount_minor) = movement.amount_minor
           AND bool_and(entry.currency = movement.currency)
    INTO balanced
    FROM ledger_movement AS movement
    JOIN ledger_entry AS entry USING (movement_id)
    WHERE movement.movement_id = NEW.movement_id
    GROUP BY movement.movement_id;
    IF balanced IS NOT TRUE THEN
        RAISE EXCEPTION 'movement % is not balanced by its entries', NEW.movement_id;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION check_movement IS 'At commit: a movement has two entries that sum to zero, in its amount and currency.';
CREATE CONSTRAINT TRIGGER ledger_movement_is_balanced AFTER INSERT ON ledger_movement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_movement();
CREATE CONSTRAINT TRIGGER ledger_entry_is_balanced AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_movement();

-- What providers tell us. Written and read by storage/postgres_inbox.py.

CREATE TABLE webhook_inbox (
    provider text NOT NULL,
    event_id text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    handled_at timestamptz,
    try_at timestamptz DEFAULT now(),
    tries integer NOT NULL DEFAULT 0,
    body bytea NOT NULL,
    error text,
    PRIMARY KEY (provider, event_id)
);
COMMENT ON TABLE webhook_inbox IS 'Providers'' signed messages, kept before they are believed and once each.';
COMMENT ON COLUMN webhook_inbox.try_at IS 'When it may be tried; null where it is handled, or waits for a person.';
CREATE INDEX webhook_inbox_waiting ON webhook_inbox (received_at) WHERE handled_at IS NULL;
CREATE INDEX webhook_inbox_handled ON webhook_inbox (handled_at) WHERE handled_at IS NOT NULL;

CREATE TABLE reconciliation (
    day date NOT NULL,
    provider text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    ours jsonb NOT NULL,
    theirs jsonb NOT NULL,
    differences jsonb NOT NULL,
    PRIMARY KEY (day, provider)
);
COMMENT ON TABLE reconciliation IS
    'A day of a provider''s own list beside ours: what each says by currency, and each difference. See storage/reconciliations.py.';

-- The built-in provider, as if it were another company: not part of our books, and no key of ours points there or back.
-- Written and read by storage/sandbox.py and storage/sandbox_messages.py alone.

CREATE TABLE sandbox_charge (
    payment_id uuid NOT NULL,
    charge_number integer NOT NULL,
    booking_id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    opened_at timestamptz NOT NULL,
    closes_at timestamptz,
    closed_at timestamptz,
    declined_at timestamptz,
    currency text NOT NULL,
    returns_to text NOT NULL,
    PRIMARY KEY (payment_id, charge_number)
) WITH (fillfactor = 80);
COMMENT ON TABLE sandbox_charge IS 'The sandbox''s checkouts, by the key that it was asked under.';

CREATE TABLE sandbox_capture (
    reference text PRIMARY KEY,
    payment_id uuid NOT NULL,
    charge_number integer NOT NULL,
    amount_minor bigint NOT NULL,
    fee_minor bigint NOT NULL CHECK (fee_minor >= 0),
    refunded_minor bigint NOT NULL DEFAULT 0 CHECK (refunded_minor <= amount_minor),
    captured_at timestamptz NOT NULL,
    currency text NOT NULL,
    FOREIGN KEY (payment_id, charge_number) REFERENCES sandbox_charge
) WITH (fillfactor = 80);
COMMENT ON TABLE sandbox_capture IS 'The sandbox''s money; what is captured at a later instant has not come yet.';
CREATE INDEX sandbox_capture_of_charge ON sandbox_capture (payment_id, charge_number);
CREATE INDEX sandbox_capture_by_time ON sandbox_capture (captured_at);

CREATE TABLE sandbox_refund (
    payment_id uuid NOT NULL,
    refund_number integer NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    asked_at timestamptz NOT NULL,
    done_at timestamptz NOT NULL,
    reference text NOT NULL UNIQUE,
    capture_reference text NOT NULL REFERENCES sandbox_capture,
    currency text NOT NULL,
    PRIMARY KEY (payment_id, refund_number)
);
COMMENT ON TABLE sandbox_refund IS 'What the sandbox gave back, by the key that it was asked under; on its way until done_at.';
CREATE INDEX sandbox_refund_by_time ON sandbox_refund (done_at);

CREATE TABLE sandbox_event (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deliver_at timestamptz,
    delivered_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    event_id text NOT NULL,
    body bytea NOT NULL,
    error text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);
COMMENT ON TABLE sandbox_event IS 'The sandbox''s messages to us, one row for each copy.';
COMMENT ON COLUMN sandbox_event.deliver_at IS 'Null where it was meant to get lost, or was tried too often.';
CREATE INDEX sandbox_event_due ON sandbox_event (deliver_at) WHERE delivered_at IS NULL AND deliver_at IS NOT NULL;

CREATE TABLE sandbox_fault (
    name text PRIMARY KEY CHECK (name IN ('away', 'refuses_refunds', 'slow_refunds'))
);
COMMENT ON TABLE sandbox_fault IS 'What is to go wrong with the whole sandbox: storage.sandbox.Fault.';

-- migrate: rollback

DROP TABLE sandbox_fault;
DROP TABLE sandbox_event;
DROP TABLE sandbox_refund;
DROP TABLE sandbox_capture;
DROP TABLE sandbox_charge;
DROP TABLE reconciliation;
DROP TABLE webhook_inbox;
DROP TABLE ledger_entry;
DROP TABLE ledger_movement;
DROP FUNCTION check_movement;
DROP FUNCTION refuse_ledger_change;
DROP VIEW whole_payment;
DROP TABLE payment_refund;
DROP TABLE payment_capture;
DROP TABLE payment_charge;
DROP TABLE payment;
DROP INDEX booking_with_deposit;
ALTER TABLE booking
    DROP COLUMN bill_minor,
    DROP COLUMN cancelled_late,
    DROP COLUMN deposit_paid;
