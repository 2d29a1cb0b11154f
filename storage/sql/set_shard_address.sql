-- set_shard_address: where the owner of epoch $2 of a shard ($1) serves the express lane ($3).
UPDATE shard SET express_address = $3 WHERE shard_id = $1 AND epoch = $2 RETURNING shard_id
