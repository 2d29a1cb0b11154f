-- write_payment: a payment as it becomes ($1, JSON), unless it is no longer at the revision in $2 (0: not there yet), with what it moves.
--
-- $3 the movements as one JSON array, in their order; $4 the version of the booking that caused each of them.
-- No row where nothing was written. Every part reads `fence`, so that nothing is touched before the payment's row is
-- locked and its revision seen.
WITH given AS (
    SELECT *
    FROM jsonb_to_record($1::jsonb) AS given (
        payment_id uuid, booking_id uuid, vendor_id uuid, user_id uuid, number integer, provider text, currency text,
        amount_minor bigint, created_at timestamptz, kept_minor bigint, settled_version integer
    )
),

opened AS (
    INSERT INTO payment (
        payment_id, booking_id, vendor_id, user_id, number, provider, currency, amount_minor, created_at, kept_minor,
        settled_version, revision
    )
    SELECT given.payment_id, given.booking_id, given.vendor_id, given.user_id, given.number, given.provider,
           given.currency, given.amount_minor, given.created_at, given.kept_minor, given.settled_version, 1
    FROM given
    WHERE $2::integer = 0
    ON CONFLICT DO NOTHING
    RETURNING payment_id, revision
),

changed AS (
    UPDATE payment AS stored
    SET amount_minor = given.amount_minor, kept_minor = given.kept_minor, settled_version = given.settled_version,
        revision = stored.revision + 1, look_at = now(), over = false, tries = 0, error = NULL
    FROM given
    WHERE stored.payment_id = given.payment_id AND stored.revision = $2::integer AND $2::integer > 0
    RETURNING stored.payment_id, stored.revision
),

fence AS (
    SELECT given.*, written.revision
    FROM given
    JOIN (SELECT * FROM opened UNION ALL SELECT * FROM changed) AS written USING (payment_id)
),

charge_kept AS (
    INSERT INTO payment_charge AS stored (
        payment_id, number, amount_minor, closes_at, asked_version, state, provider, provider_ref, checkout_url
    )
    SELECT fence.payment_id, charge.number, charge.amount_minor, charge.closes_at, charge.asked_version, charge.state,
           fence.provider, charge.provider_ref, charge.checkout_url
    FROM fence, jsonb_to_recordset($1::jsonb -> 'charges') AS charge (
        number integer, amount_minor bigint, closes_at timestamptz, asked_version integer, state text, provider_ref text,
        checkout_url text
    )
    ON CONFLICT (payment_id, number) DO UPDATE
    SET state = excluded.state, provider_ref = excluded.provider_ref, checkout_url = excluded.checkout_url,
        closes_at = excluded.closes_at
    WHERE (stored.state, stored.provider_ref, stored.checkout_url, stored.closes_at)
          IS DISTINCT FROM (excluded.state, excluded.provider_ref, excluded.checkout_url, excluded.closes_at)
),

capture_kept AS (
    -- Of money that is here already only the fee may be news, and only once.
    INSERT INTO payment_capture AS stored (
        payment_id, number, charge_number, amount_minor, fee_minor, provider, reference
    )
    SELECT fence.payment_id, received.number, received.charge_number, received.amount_minor, received.fee_minor,
           fence.provider, received.reference
    FROM fence, ROWS FROM (jsonb_to_recordset($1::jsonb -> 'captures') AS (
        reference text, charge_number integer, amount_minor bigint, fee_minor bigint
    )) WITH ORDINALITY AS received (reference, charge_number, amount_minor, fee_minor, number)
    ON CONFLICT (payment_id, number) DO UPDATE
    SET fee_minor = excluded.fee_minor
    WHERE stored.reference = excluded.reference AND stored.fee_minor = 0 AND excluded.fee_minor > 0
),

refund_kept AS (
    INSERT INTO payment_refund AS stored (
        payment_id, number, amount_minor, state, provider, capture_reference, provider_ref
    )
    SELECT fence.payment_id, refund.number, refund.amount_minor, refund.state, fence.provider, refund.capture_reference,
           refund.provider_ref
    FROM fence, jsonb_to_recordset($1::jsonb -> 'refunds') AS refund (
        number integer, amount_minor bigint, state text, capture_reference text, provider_ref text
    )
    ON CONFLICT (payment_id, number) DO UPDATE
    SET state = excluded.state, provider_ref = excluded.provider_ref, changed_at = now()
    WHERE (stored.state, stored.provider_ref) IS DISTINCT FROM (excluded.state, excluded.provider_ref)
),

movement AS (
    INSERT INTO ledger_movement (
        payment_id, booking_id, vendor_id, user_id, amount_minor, booking_version, payment_revision, position, kind,
        currency, provider, reference
    )
    SELECT fence.payment_id, fence.booking_id, fence.vendor_id, fence.user_id, moved.amount_minor,
           moved.booking_version, fence.revision, moved.position, moved.kind, fence.currency, fence.provider, moved.reference
    FROM fence, ROWS FROM (jsonb_to_recordset($3::jsonb) AS (
        kind text, amount_minor bigint, reference text
    ), unnest($4::integer[])) WITH ORDINALITY AS moved (kind, amount_minor, reference, booking_version, position)
    ORDER BY moved.position
    RETURNING movement_id, position, amount_minor
),

entry AS (
    INSERT INTO ledger_entry (movement_id, account, holder, currency, amount_minor)
    SELECT movement.movement_id, side.account,
           CASE side.account
               WHEN 'guest' THEN fence.user_id::text
               WHEN 'vendor' THEN fence.vendor_id::text
               ELSE fence.provider
           END,
           fence.currency, side.sign * movement.amount_minor
    FROM fence
    CROSS JOIN movement
    JOIN ROWS FROM (jsonb_to_recordset($3::jsonb) AS (source text, target text))
        WITH ORDINALITY AS moved (source, target, position) USING (position)
    CROSS JOIN LATERAL (VALUES (moved.source, -1), (moved.target, 1)) AS side (account, sign)
)

SELECT fence.revision, pg_notify('payments', fence.payment_id::text) FROM fence
