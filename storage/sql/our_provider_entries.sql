-- our_provider_entries: what we know that provider $1 took, and gave back to the end, learnt from $2 to before $3.
-- At is when a capture was learnt of, and when a refund was asked for.
SELECT capture.reference, capture.amount_minor, payment.currency, false AS refund, capture.created_at AS at,
       capture.payment_id, capture.fee_minor
FROM payment_capture AS capture
JOIN payment USING (payment_id)
WHERE capture.provider = $1 AND capture.created_at >= $2 AND capture.created_at < $3
UNION ALL
SELECT refund.provider_ref, refund.amount_minor, payment.currency, true, refund.created_at, refund.payment_id, 0
FROM payment_refund AS refund
JOIN payment USING (payment_id)
WHERE refund.provider = $1 AND refund.state = 'done' AND refund.provider_ref IS NOT NULL
  AND refund.changed_at >= $2 AND refund.changed_at < $3
ORDER BY at, reference
