-- our_provider_entries_named: what we have under the references in $2 of provider $1, refunds under way included.
SELECT capture.reference, capture.amount_minor, payment.currency, false AS refund, capture.created_at AS at,
       capture.payment_id, capture.fee_minor
FROM payment_capture AS capture
JOIN payment USING (payment_id)
WHERE capture.provider = $1 AND capture.reference = ANY ($2::text[])
UNION ALL
SELECT refund.provider_ref, refund.amount_minor, payment.currency, true, refund.created_at, refund.payment_id, 0
FROM payment_refund AS refund
JOIN payment USING (payment_id)
WHERE refund.provider = $1 AND refund.provider_ref = ANY ($2::text[])
ORDER BY at, reference
