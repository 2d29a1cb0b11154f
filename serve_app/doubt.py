"""When a cache is not to be believed after a change was asked for."""

from actors.outcome import Trouble, Unavailable
from domain.rejection import Reason, Rejection


def cache_may_lie(outcome: object) -> bool:
    """The change may be in the database without our knowing, or another's is that no cache was told of."""
    match outcome:
        case Unavailable(trouble=trouble):
            return trouble is Trouble.OUTCOME_UNKNOWN
        case Rejection(reason=reason):
            return reason is Reason.VERSION_CONFLICT
    return False
