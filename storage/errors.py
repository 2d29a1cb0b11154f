"""Operational errors of every store. Adapters translate driver errors into this family, with the cause kept."""


class StoreError(Exception):
    """A store could not do its work."""


class StoreUnavailable(StoreError):
    """The store is away or too slow; nothing was written by this call. Reads and keyed writes may be retried."""


class OutcomeUnknown(StoreError):
    """The connection was lost while a write was under way: it may have happened, or may still happen."""


class Fenced(StoreError):
    """This owner's epoch is over: somebody else owns the shard, and nothing was written."""


class GuardRefused(StoreError):
    """Memory disagreed with the database: a word, booking or key was not as the batch assumed. Nothing was written."""


class EmailTaken(StoreError):
    """Another account of the same kind has this e-mail address."""


class VersionConflict(StoreError):
    """The row has moved on from the version that the caller expected."""
