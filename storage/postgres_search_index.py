"""The search index of an installation without Elasticsearch: a few tables in Postgres, and indexes on them.

Words are a `tsvector`, whose index finds the beginnings of words. Typing errors are forgiven by way of the vocabulary
(`search_word`): words that share a shortened form with the mistyped one are looked up there, those within the forgiven
edits take its place in the search. pg_trgm would not do: how many trigrams a word keeps says nothing certain about how
many letters are wrong ("tahi" and "thai" have one of nine in common). Places are points in space (`cube`), which an
index orders by distance.

A rebuild fills rows of a generation of its own. `put` writes the generation in use and the one being filled, in one
statement that locks the row which names them; so whoever put before the rebuild began had its vendor committed before
the rebuild reads vendors, whoever puts later is in both, and a fill never replaces a newer version. Nothing is lost.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain.ids import VendorId
from domain.search import Candidate, CandidateQuery, SearchOrder, SortPosition
from domain.vendor import Vendor
from storage.errors import StoreError
from storage.postgres import Database
from storage.search_document import SearchDocument, candidate, label, newest
from storage.search_text import (
    CLAUSES,
    Match,
    Text,
    Wanted,
    edits_findable,
    edits_forgiven,
    shortened,
    wanted,
    within_edits,
)
from storage.sphere import RADIUS_GRACE_KM, chord_km, point_km

SETTINGS: Final = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
"""Which filters are given decides which index serves, so every search is planned for itself; that takes no millisecond."""

_PUT_AT_ONCE: Final = 500
_SWEEP_AT_ONCE: Final = 20_000
_WORDS_KNOWN_MAX: Final = 200_000
_WEIGHTS: Final = {Text.NAME: "A", Text.ABOUT: "B", Text.DESCRIPTION: "D"}
_ABOUT: Final = "8000B"
_DESCRIPTION: Final = "8001D"


class PostgresSearchIndex:
    """`database` is its own, made with SETTINGS; `close` closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_words: set[str] = set()

    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        sought = None if query.text is None else wanted(query.text)
        if sought is not None and not sought.required:
            return ()
        mistyped = {} if sought is None else await self._mistyped(sought)
        filters = _filters(query, None if sought is None else _all_found(sought, mistyped))
        place = None if after is None else after.key, None if after is None else after.vendor_id
        if query.order is SearchOrder.PRICE:
            found = await self._database.rows("search_by_price", *filters, *place, limit)
        elif query.order is SearchOrder.RELEVANCE and sought is not None:
            clauses, points = _clauses(sought, mistyped)
            found = await self._database.rows("search_by_relevance", *filters, *place, limit, clauses, points)
        elif query.near is not None:
            found = await self._database.rows("search_by_distance", *filters, *place, limit)
        else:
            found = await self._database.rows("search_by_id", *filters, *place, limit)
        return [_candidate(query, row) for row in found]

    async def put(self, vendors: Sequence[Vendor]) -> None:
        documents = newest(vendors)
        for first in range(0, len(documents), _PUT_AT_ONCE):
            await self._write(documents[first : first + _PUT_AT_ONCE], None)

    async def rebuild(self, vendors: AsyncIterator[Sequence[Vendor]]) -> None:
        """Raises StoreError when another rebuild began meanwhile: that one goes on."""
        generation = await self._database.value("begin_search_rebuild")
        try:
            await self._sweep()
            async for page in vendors:
                documents = newest(page)
                for first in range(0, len(documents), _PUT_AT_ONCE):
                    await self._write(documents[first : first + _PUT_AT_ONCE], generation)
            _unless_given_up(await self._database.value("use_search_rebuild", generation))
        except BaseException:
            await self._database.rows("drop_search_rebuild", generation)
            raise
        await self._sweep()

    async def count(self) -> int:
        return int(await self._database.value("count_search_vendors"))

    async def close(self) -> None:
        await self._database.close()

    async def _write(self, documents: Sequence[SearchDocument], generation: int | None) -> None:
        new_words = {word for document in documents for word in _words_of(document)} - self._known_words
        heard = [{"word": word, "shortened": sorted(shortened(word, edits_findable(word)))} for word in new_words]
        rows = orjson.dumps([_row(document) for document in documents]).decode()
        written = await self._database.value("put_search_vendors", rows, orjson.dumps(heard).decode(), generation)
        _unless_given_up(written)
        if len(self._known_words) < _WORDS_KNOWN_MAX:
            self._known_words |= new_words

    async def _sweep(self) -> None:
        """Delete what no generation needs, a bite at a time, so that no statement takes long."""
        while await self._database.value("sweep_search_vendors", _SWEEP_AT_ONCE) == _SWEEP_AT_ONCE:
            pass

    async def _mistyped(self, sought: Wanted) -> dict[str, list[str]]:
        """For each searched word the words that it may have been meant for; itself among them, known or not."""
        edits = {word: edits_forgiven(word) for word in sought.required}
        forms = {form for word, forgiven in edits.items() if forgiven for form in shortened(word, forgiven)}
        rows = await self._database.rows("search_words_like", sorted(forms)) if forms else []
        known = [row["word"] for row in rows]
        return {
            word: sorted({word, *(other for other in known if within_edits(word, other, forgiven))})
            for word, forgiven in edits.items()
        }


def _unless_given_up(done: int | None) -> None:
    if not done:
        raise StoreError("another rebuild of the search index began meanwhile")


def _filters(query: CandidateQuery, words: str | None) -> tuple[object, ...]:
    """The parameters that the searches have in common."""
    labels = [
        f"{field}:{label(asked)}"
        for field, asked in (
            ("kind", query.kind),
            ("city", query.city),
            ("cuisine", query.cuisine),
            ("amenity", query.amenity),
            ("seat_type", query.seat_type),
        )
        if asked is not None
    ]
    bounded = query.near is not None and query.radius_km is not None
    return (
        labels or None,
        words,
        query.party_size,
        "" if query.seat_type is None else label(query.seat_type),
        query.price_max_minor,
        None if query.near is None else point_km(query.near),
        chord_km((query.radius_km or 0.0) + RADIUS_GRACE_KM) if bounded else None,
    )


def _all_found(sought: Wanted, mistyped: dict[str, list[str]]) -> str:
    """A tsquery: each searched word is found somewhere. Words are letters and digits, nothing needs escaping."""
    return " & ".join(f"({_alike(word, mistyped, (Match.BEGINS, Match.MISTYPED), '')})" for word in sought.required)


def _clauses(sought: Wanted, mistyped: dict[str, list[str]]) -> tuple[list[str], list[int]]:
    """What is worth points, as tsqueries, and how many."""
    clauses = [" <-> ".join(f"'{word}':A" for word in sought.phrase)]
    points = [sought.phrase_points]
    for word in sought.required:
        for text, matches, worth in CLAUSES:
            clauses.append(_alike(word, mistyped, matches, _WEIGHTS[text]))
            points.append(worth)
    return clauses, points


def _alike(word: str, mistyped: dict[str, list[str]], matches: Iterable[Match], weight: str) -> str:
    alternatives = []
    for match in matches:
        if match is Match.BEGINS:
            alternatives.append(f"'{word}':*{weight}")
        else:
            alternatives += [f"'{other}':{weight}" if weight else f"'{other}'" for other in mistyped[word]]
    return " | ".join(alternatives)


def _row(document: SearchDocument) -> dict[str, Any]:
    return {
        "vendor_id": document.vendor_id,
        "version": document.version,
        "words": _tsvector(document),
        "labels": _labels(document),
        "place": point_km(document.location),
        "party_max": document.party_max,
        "prices": {**document.prices, "": document.from_minor},
        "shown": document.shown,
    }


def _tsvector(document: SearchDocument) -> str:
    """Positions tell the order within the name; the other texts stand far behind it, each in one place."""
    places: dict[str, list[str]] = {}
    for position, word in enumerate(document.name, start=1):
        places.setdefault(word, []).append(f"{position}A")
    for word in document.about:
        places.setdefault(word, []).append(_ABOUT)
    for word in document.description:
        places.setdefault(word, []).append(_DESCRIPTION)
    return " ".join(f"'{word}':{','.join(found)}" for word, found in places.items())


def _labels(document: SearchDocument) -> list[str]:
    return [
        f"kind:{document.kind}",
        f"city:{document.city}",
        *(f"cuisine:{cuisine}" for cuisine in document.cuisines),
        *(f"amenity:{amenity}" for amenity in document.amenities),
        *(f"seat_type:{seat_type}" for seat_type in document.prices),
    ]


def _words_of(document: SearchDocument) -> tuple[str, ...]:
    return (*document.name, *document.about, *document.description)


def _candidate(query: CandidateQuery, row: asyncpg.Record) -> Candidate:
    shown = orjson.loads(row["shown"])
    vendor_id = VendorId(UUID(int=row["vendor_id"].int))  # the driver's own class of UUID is not JSON as ours is
    return candidate(query, vendor_id, row["version"], shown, from_minor=row["from_minor"], key=row["key"])
