-- reconciliation_of_day: that of a day ($1) with a provider ($2).
SELECT * FROM reconciliation WHERE day = $1 AND provider = $2
