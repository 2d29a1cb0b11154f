"""The search service: the index names candidates, and where a time is asked for, the shards say who can take the party."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from actors.client import JUDGED_MAX, ShardClient
from actors.outcome import Trouble, Unavailable
from domain.ids import VendorId
from domain.search import Candidate, CandidateQuery, SeatWish, SortPosition, Verdict
from serve_app.answer import json_answer
from serve_app.auth import Tokens
from serve_app.cursor import search_cursor_of, sort_position_of
from serve_app.errors import Problem, invalid
from serve_app.operation import ANYONE, Call, Operation, Result
from serve_app.ports import Candidates, Clock
from serve_app.search_models import Found, FoundListShown, VendorsAsked, found_content, query_of, wish_of
from serve_app.service import About, Service
from storage.errors import StoreUnavailable

PREFIX: Final = "/vendors"
ABOUT: Final = About("search", PREFIX, "Holdfast: search", "Find a restaurant or a hotel that can take the party.")

_CHUNK_MIN: Final = 50
_INDEX_AWAY: Final = Problem(
    Trouble.DEPENDENCY_UNAVAILABLE, "The search index does not answer just now; booking works.", retry_after_seconds=1
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SearchDeps:
    candidates: Candidates
    client: ShardClient
    tokens: Tokens
    clock: Clock
    trust_forwarded: bool = False


def search_app(deps: SearchDeps) -> Service:
    """The ASGI application of GET /vendors."""
    return Service(ABOUT, Search(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


@dataclass(slots=True)
class _Page:
    """What a request has gathered so far. `after` is the last candidate that was looked at."""

    limit: int
    after: SortPosition | None
    found: list[Found] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.found) == self.limit


class Search:
    def __init__(self, deps: SearchDeps) -> None:
        self._deps = deps

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET",
                PREFIX,
                "Find vendors, and those that can take a party at a time",
                ANYONE,
                self.find,
                query=VendorsAsked,
                answer=FoundListShown,
                codes=(Trouble.SHARD_MOVING, Trouble.OVERLOADED),
            )
        ]

    async def find(self, call: Call[None, VendorsAsked]) -> Result:
        asked = call.query
        query, wish = query_of(asked), wish_of(asked)
        this_search = f"{query!r} {wish!r} {asked.include_full}"
        after = None
        if asked.cursor is not None:
            after = sort_position_of(asked.cursor, this_search, query.order)
            if after is None:
                return invalid("cursor", "This is no cursor of this search")
        page = _Page(asked.limit, after)
        try:
            position = await self._fill(page, query, wish, with_full=asked.include_full or wish is None)
        except StoreUnavailable as error:
            log.warning("search_index_away", error=repr(error))
            return _INDEX_AWAY
        if isinstance(position, Unavailable):
            return position
        next_cursor = None if position is None else search_cursor_of(position, this_search)
        return json_answer({"items": found_content(page.found), "next_cursor": next_cursor})

    async def _fill(
        self, page: _Page, query: CandidateQuery, wish: SeatWish | None, *, with_full: bool
    ) -> SortPosition | Unavailable | None:
        """Look at candidates, more of them each time, until the page is full; where the next page begins, if there is one.

        Who looks for a table where nearly everybody is full is answered after JUDGED_MAX candidates, with what was found.
        """
        judged, size = 0, page.limit if with_full else max(2 * page.limit, _CHUNK_MIN)
        while True:
            size = min(size, JUDGED_MAX - judged)
            as_of = self._deps.clock()
            # One more than is looked at tells whether there is anything behind it.
            candidates = await self._deps.candidates.candidates(query, after=page.after, limit=size + 1)
            some = candidates[:size]
            verdicts = await self._verdicts(some, wish)
            if isinstance(verdicts, Unavailable):
                return verdicts
            for candidate in some:
                verdict = verdicts.get(candidate.vendor_id)
                if wish is not None and (verdict is None or not (verdict.available or with_full)):
                    continue
                if page.full:
                    return page.found[-1].candidate.position
                page.found.append(Found(candidate, verdict, as_of))
            if len(candidates) <= size:
                return None
            if page.full:
                return page.found[-1].candidate.position
            page.after = some[-1].position
            judged += len(some)
            if judged == JUDGED_MAX:
                return page.after
            size *= 2

    async def _verdicts(
        self, candidates: Sequence[Candidate], wish: SeatWish | None
    ) -> Mapping[VendorId, Verdict] | Unavailable:
        if wish is None or not candidates:
            return {}
        verdicts = await self._deps.client.judge([candidate.vendor_id for candidate in candidates], wish)
        return verdicts if isinstance(verdicts, Unavailable) else {verdict.vendor_id: verdict for verdict in verdicts}
