-- Since when a payment's looks fail, and which version of the booking asked for a charge.
-- depends: 20261123_03_money

-- migrate: apply

ALTER TABLE payment ADD COLUMN failing_since timestamptz;
COMMENT ON COLUMN payment.failing_since IS 'No look has come to its end since then; null where the last one has, whatever it found.';
COMMENT ON TABLE payment IS
    'The deposit of a booking, first agreed on in its version "number": domain.payment.Payment, without its parts. No foreign key '
    'to booking, which leaves for the archive while its payments stay.';

ALTER TABLE payment_charge ADD COLUMN asked_version integer;
-- Of charges from before it is not known; the payment's own version is the one that their money was booked under.
UPDATE payment_charge SET asked_version = (SELECT number FROM payment WHERE payment.payment_id = payment_charge.payment_id);
ALTER TABLE payment_charge ALTER COLUMN asked_version SET NOT NULL;
COMMENT ON COLUMN payment_charge.asked_version IS 'The booking''s version that asked for it: the ledger books what comes under it.';
COMMENT ON COLUMN ledger_movement.booking_version IS
    'The booking''s version that asked for what came, fees included, or that decided what is kept or goes back: domain.ledger.causes.';

DROP VIEW whole_payment;
CREATE VIEW whole_payment AS
SELECT payment.*,
       (
           SELECT coalesce(jsonb_agg(charge ORDER BY charge.number), '[]')
           FROM (
               SELECT number, amount_minor, asked_version, state, closes_at, provider_ref, checkout_url
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

-- migrate: rollback

DROP VIEW whole_payment;
ALTER TABLE payment_charge DROP COLUMN asked_version;
ALTER TABLE payment DROP COLUMN failing_since;
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
