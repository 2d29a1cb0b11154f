"""What goes wrong between actors. Never crosses to a client: at the edge each becomes an `Unavailable` or a 500."""


class ShardError(Exception):
    """Something between actors did not work."""


class DecisionFailed(ShardError):
    """Deciding one command hit a bug. Nothing was written for it, and the rest of its batch went on."""


class OverlaySpoilt(ShardError):
    """Applying an event failed half way, so nothing of its draft may be written: the shard must start afresh."""


class CallLost(ShardError):
    """A call raised, and may still have been carried out."""


class CallTimedOut(CallLost):
    """Somebody is there and did not answer in time, and may be at it still."""


class NobodyThere(CallLost):
    """There was nobody to call, so nothing was carried out."""


class NoActor(ShardError):
    """The shard has no actor, or one that died and will not be started again."""


class NameTaken(ShardError):
    """The shard's name still belongs to an actor that is not dead yet."""
