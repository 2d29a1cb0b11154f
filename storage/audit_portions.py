"""How an audit goes through what is too much for one statement: in portions, as large as the server can bear."""

from collections.abc import Awaitable, Callable

from storage.postgres import StatementTooLong


async def look_in_portions(first: int, end: int, at_once: int, look: Callable[[int, int], Awaitable[None]]) -> None:
    """Have `look` see everything from `first` to before `end`, portion by portion, each from its first to before its end.

    A portion that takes the server too long is halved, and so are those after it; StatementTooLong where a single one
    does. `look` keeps what it found only once it has all of its portion, for a part of it may be looked at again.
    """
    while first < end:
        portion_end = min(first + at_once, end)
        try:
            await look(first, portion_end)
        except StatementTooLong:
            if portion_end - first == 1:
                raise
            at_once = (portion_end - first) // 2
        else:
            first = portion_end
