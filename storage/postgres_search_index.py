"""The search index of an installation without Elasticsearch: a few tables in Postgres, and indexes on them.

Words are a `tsvector`, whose index finds the beginnings of words. Typing errors are forgiven by way of the vocabulary
(`search_word`): words that share a shortened form with the mistyped one are looked up there, the nearest within the
forgiven edits take its place in the search. pg_trgm would not do: how many trigrams a word keeps says nothing certain
about how many letters are wrong ("tahi" and "thai" have one of nine in common). Places are points in space (`cube`),
which an index orders by distance.

Whoever may change a vendor may put any words there, as often as they like, so every step is bounded: how many words one
vendor brings to the vocabulary, how many are looked at and measured for a searched word, how many take its place. Words
that no vendor has any more stay until the next rebuild, since each generation has its own.

A rebuild fills rows of a generation of its own. `put` writes the generation in use and the one being filled, in one
statement that locks the row which names them; so whoever put before the rebuild began had its vendor committed before
the rebuild reads vendors, whoever puts later is in both, and a fill never replaces a newer version. Nothing is lost.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
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
    nearest,
    shortened,
    wanted,
)
from storage.sphere import RADIUS_GRACE_KM, chord_km, point_km

SETTINGS: Final = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
"""Which filters are given decides which index serves, so every search is planned for itself; that takes no millisecond."""

_PUT_AT_ONCE: Final = 500
_SWEEP_AT_ONCE: Final = 20_000
_BROUGHT_MAX: Final = 2000
"""Words that a generation's vocabulary takes from one vendor; typing errors in its further ones are not forgiven."""

_LOOKED_AT_MAX: Final = 20_000
_MEASURED_MAX: Final = 100
"""Of known words for each searched one: compared by the database, and of each text measured here."""

_WEIGHTS: Final = {Text.NAME: "A", Text.ABOUT: "B", Text.DESCRIPTION: "D"}
_ABOUT: Final = "8000B"
_DESCRIPTION: Final = "8001D"

Alternatives: TypeAlias = Mapping[tuple[str, Text], Sequence[str]]
"""By searched word and text, the words there that it may have been meant for; itself among them, known or not."""


class PostgresSearchIndex:
    """`database` is its own, made with SETTINGS; `close` closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        rows = orjson.dumps([_row(document) for document in documents]).decode()
        heard = orjson.dumps(list(_words_of(documents))).decode()
        _unless_given_up(await self._database.value("put_search_vendors", rows, heard, generation, _BROUGHT_MAX))

    async def _sweep(self) -> None:
        """Delete what no generation needs, a bite at a time, so that no statement takes long."""
        for sweep in ("sweep_search_vendors", "sweep_search_words"):
            while await self._database.value(sweep, _SWEEP_AT_ONCE) == _SWEEP_AT_ONCE:
                pass

    async def _mistyped(self, sought: Wanted) -> Alternatives:
        asked = [
            {"word": word, "edits": forgiven, "forms": sorted(shortened(word, forgiven))}
            for word in sought.required
            if (forgiven := edits_forgiven(word))
        ]
        if not asked:
            return _alternatives(sought, ())
        of_each = orjson.dumps(asked).decode()
        rows = await self._database.rows("search_words_like", of_each, _MEASURED_MAX, _LOOKED_AT_MAX)
        # Measuring the most that may come takes longer than an event loop should stand still.
        return await asyncio.to_thread(_alternatives, sought, rows)


def _unless_given_up(done: int | None) -> None:
    if not done:
        raise StoreError("another rebuild of the search index began meanwhile")


def _alternatives(sought: Wanted, rows: Sequence[asyncpg.Record]) -> Alternatives:
    known: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        known[row["sought"], row["text"]].append(row["word"])
    return {
        (word, text): sorted({word, *nearest(word, known[word, weight])})
        for word in sought.required
        for text, weight in _WEIGHTS.items()
    }


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


def _all_found(sought: Wanted, mistyped: Alternatives) -> str:
    """A tsquery: each searched word is found somewhere. Words are letters and digits, nothing needs escaping."""
    return " & ".join(f"({_somewhere(word, mistyped)})" for word in sought.required)


def _somewhere(word: str, mistyped: Alternatives) -> str:
    """The beginning comes first: where it is met, the index need not look at the vendor for the weights of the others."""
    return " | ".join([f"'{word}':*", *(_alike(word, mistyped, (Match.MISTYPED,), text) for text in _WEIGHTS)])


def _clauses(sought: Wanted, mistyped: Alternatives) -> tuple[list[str], list[int]]:
    """What is worth points, as tsqueries, and how many."""
    clauses = [" <-> ".join(f"'{word}':A" for word in sought.phrase)]
    points = [sought.phrase_points]
    for word in sought.required:
        for text, matches, worth in CLAUSES:
            clauses.append(_alike(word, mistyped, matches, text))
            points.append(worth)
    return clauses, points


def _alike(word: str, mistyped: Alternatives, matches: Iterable[Match], text: Text) -> str:
    weight, alternatives = _WEIGHTS[text], []
    for match in matches:
        if match is Match.BEGINS:
            alternatives.append(f"'{word}':*{weight}")
        else:
            alternatives += [f"'{other}':{weight}" for other in mistyped[word, text]]
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


def _words_of(documents: Iterable[SearchDocument]) -> Iterator[dict[str, Any]]:
    """Each word of each text once, with the first vendor that has it."""
    heard: set[tuple[Text, str]] = set()
    for document in documents:
        texts = {Text.NAME: document.name, Text.ABOUT: document.about, Text.DESCRIPTION: document.description}
        for text, found in texts.items():
            for word in dict.fromkeys(found):
                if (text, word) not in heard:
                    heard.add((text, word))
                    forms = sorted(shortened(word, edits_findable(word)))
                    weight = _WEIGHTS[text]
                    yield {"text": weight, "word": word, "shortened": forms, "vendor_id": document.vendor_id}


def _candidate(query: CandidateQuery, row: asyncpg.Record) -> Candidate:
    shown = orjson.loads(row["shown"])
    vendor_id = VendorId(UUID(int=row["vendor_id"].int))  # the driver's own class of UUID is not JSON as ours is
    return candidate(query, vendor_id, row["version"], shown, from_minor=row["from_minor"], key=row["key"])
