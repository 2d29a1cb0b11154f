-- vendor_facts: a vendor ($1) as its shard last wrote it.
SELECT facts, version FROM vendor WHERE vendor_id = $1
