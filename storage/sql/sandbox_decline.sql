-- sandbox_decline: a try to pay charge ($1 payment, $2 number) is declined at $3, with messages $4..; only where it is open and unpaid.
WITH charge AS (
    UPDATE sandbox_charge SET declined_at = $3
    WHERE payment_id = $1 AND charge_number = $2 AND closed_at IS NULL AND (closes_at IS NULL OR closes_at > $3)
      AND NOT EXISTS (
          SELECT FROM sandbox_capture
          WHERE sandbox_capture.payment_id = sandbox_charge.payment_id
            AND sandbox_capture.charge_number = sandbox_charge.charge_number
      )
    RETURNING 1
), told AS (
    INSERT INTO sandbox_event (event_id, body, deliver_at)
    SELECT message.event_id, message.body, message.deliver_at
    FROM charge, unnest($4::text[], $5::bytea[], $6::timestamptz[]) AS message (event_id, body, deliver_at)
)
SELECT count(*) AS declined, pg_notify('sandbox', '') FROM charge
