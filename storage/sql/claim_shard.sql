-- claim_shard: name the actor ($2) that may take the shard ($1); the present owner writes on until that one takes it.
UPDATE shard SET actor_id = $2 WHERE shard_id = $1 RETURNING shard_id
