"""The search index, as a protocol: Elasticsearch on the full stack, Postgres (tsvector, cube) in the embedded default.

It names candidates: vendors that fit by text, place, kind and price. Whether one can take the party is the shards' word.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from domain.search import Candidate, CandidateQuery, SortPosition
from domain.vendor import Vendor


class SearchIndex(Protocol):
    """Every method may raise storage.errors.StoreUnavailable."""

    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        """The next candidates in the query's order, strictly after the position. Ties are broken by vendor_id."""
        ...

    async def put(self, vendors: Sequence[Vendor]) -> None:
        """Index them; an older version than what is there changes nothing. Searchable within a second."""
        ...

    async def rebuild(self, vendors: AsyncIterator[Sequence[Vendor]]) -> None:
        """Index everything anew beside the index in use, then take it into use in one step.

        What `put` stores meanwhile is not lost. Searches go on all the time.
        """
        ...

    async def count(self) -> int: ...

    async def close(self) -> None: ...
