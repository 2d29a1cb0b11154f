"""Which route a path belongs to, by two or three looks into a table; a search by pattern costs a tenth of a whole hold."""

from collections.abc import Mapping
from typing import Generic, TypeVar

RouteT = TypeVar("RouteT")


class PathTable(Generic[RouteT]):
    """Routes by paths of which each has at most one `{name}`, in the last segment or the one before it.

    Words go before names, so that /user/create is never taken for a user.
    """

    def __init__(self, routes: Mapping[str, RouteT]) -> None:
        self._by_word: dict[str, RouteT] = {}
        self._by_last: dict[str, RouteT] = {}
        self._by_middle: dict[tuple[str, str], RouteT] = {}
        for path, route in routes.items():
            before, brace, rest = path.partition("{")
            _, _, after = rest.partition("}")
            if not brace:
                self._by_word[path] = route
            elif not after:
                self._by_last[before[:-1]] = route
            elif after.count("/") == 1 and "{" not in after:
                self._by_middle[before[:-1], after[1:]] = route
            else:
                raise ValueError(f"{path}: a name stands in the last segment or the one before it")

    def find(self, path: str) -> tuple[RouteT, str] | None:
        """The route and the text that stands for its name, empty where it has none; None for an unknown path."""
        route = self._by_word.get(path)
        if route is not None:
            return route, ""
        head, _, last = path.rpartition("/")
        route = self._by_last.get(head)
        if route is not None and last:
            return route, last
        head, _, middle = head.rpartition("/")
        route = self._by_middle.get((head, last))
        return (route, middle) if route is not None and middle else None
