"""A candidate query as Elasticsearch's request: filters, points, order, and where the page before ended."""

from collections.abc import Iterable
from math import inf
from typing import Any, Final, TypeAlias

from domain.search import CandidateQuery, SearchOrder, SortPosition
from storage.elasticsearch_documents import READ_BACK
from storage.search_document import label
from storage.search_text import ALTERNATIVES_MAX, CLAUSES, Match, Text, Wanted, edits_forgiven
from storage.sphere import RADIUS_GRACE_KM

Json: TypeAlias = dict[str, Any]

_NO_PRICE: Final = (1 << 63) - 1
"""How Elasticsearch names the place of a missing number in an order."""

_NEAREST: Final = f"top_terms_boost_{ALTERNATIVES_MAX}"
"""How Elasticsearch names a bound on the words that a fuzzy query takes."""


def request(query: CandidateQuery, sought: Wanted | None, after: SortPosition | None, limit: int) -> Json:
    """The parameters of `search`."""
    clauses: Json = {"filter": [{"match_all": {}}, *_filters(query)]}
    if sought is not None:
        found = [_anywhere(word) for word in sought.required]
        if query.order is SearchOrder.RELEVANCE:
            clauses |= {"must": found, "should": [_phrase(sought)]}
        else:
            clauses["filter"] += found
    asked: Json = {
        "query": {"bool": clauses},
        "sort": [*_order(query), {"vendor_id": "asc"}],
        "size": limit,
        "source": READ_BACK,
        "track_total_hits": False,
        "allow_partial_search_results": False,
    }
    if after is not None:
        asked["search_after"] = [*_after(query, after.key), str(after.vendor_id)]
    return asked


def key_of(query: CandidateQuery, sort: list[Any]) -> float:
    """A hit's sort values as the key of its position."""
    if len(sort) == 1:
        return 0.0
    if _by_points(query):
        return -float(sort[0])
    return inf if sort[0] == _NO_PRICE and query.order is SearchOrder.PRICE else float(sort[0])


def _by_points(query: CandidateQuery) -> bool:
    return query.order is SearchOrder.RELEVANCE and query.text is not None


def _order(query: CandidateQuery) -> list[Json]:
    if query.order is SearchOrder.PRICE:
        if query.seat_type is None:
            return [{"from_minor": {"order": "asc", "missing": "_last"}}]
        nested = {"path": "seats", "filter": _whole("seats.seat_type", query.seat_type)}
        return [{"seats.price_minor": {"order": "asc", "mode": "min", "missing": "_last", "nested": nested}}]
    if _by_points(query):
        return [{"_score": "desc"}]
    if query.near is not None:
        near = {"lat": query.near.lat, "lon": query.near.lon}
        return [{"_geo_distance": {"place": near, "order": "asc", "unit": "km", "distance_type": "arc"}}]
    return []


def _after(query: CandidateQuery, key: float) -> list[float]:
    if query.order is SearchOrder.PRICE:
        return [_NO_PRICE if key == inf else int(key)]
    if _by_points(query):
        return [-key]
    return [] if query.near is None else [key]


def _filters(query: CandidateQuery) -> Iterable[Json]:
    for field, asked in (
        ("kind", query.kind),
        ("city", query.city),
        ("cuisines", query.cuisine),
        ("amenities", query.amenity),
    ):
        if asked is not None:
            yield _whole(field, asked)
    if query.party_size is not None:
        yield {"range": {"party_max": {"gte": query.party_size}}}
    if query.seat_type is not None or query.price_max_minor is not None:
        yield {"nested": {"path": "seats", "query": {"bool": {"filter": list(_seat_filters(query))}}}}
    if query.near is not None and query.radius_km is not None:
        near = {"lat": query.near.lat, "lon": query.near.lon}
        yield {"geo_distance": {"distance": f"{query.radius_km + RADIUS_GRACE_KM:f}km", "place": near}}


def _seat_filters(query: CandidateQuery) -> Iterable[Json]:
    if query.seat_type is not None:
        yield _whole("seats.seat_type", query.seat_type)
    if query.price_max_minor is not None:
        yield {"range": {"seats.price_minor": {"lte": query.price_max_minor}}}


def _whole(field: str, asked: str) -> Json:
    return {"term": {field: label(asked)}}


def _anywhere(word: str) -> Json:
    """The word is found in one text at least; the points of all in which it is found add up."""
    clauses = [
        {"constant_score": {"filter": {"bool": {"should": _alike(text, word, matches)}}, "boost": points}}
        for text, matches, points in CLAUSES
    ]
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def _alike(text: Text, word: str, matches: Iterable[Match]) -> list[Json]:
    """A fuzzy query counts edits as `search_text.edits_between` does, and takes the words that `nearest` takes."""
    alternatives: list[Json] = []
    for match in matches:
        if match is Match.BEGINS:
            alternatives.append({"prefix": {text: {"value": word}}})
        else:
            fuzzy = {"value": word, "fuzziness": str(edits_forgiven(word)), "rewrite": _NEAREST}
            alternatives.append({"fuzzy": {text: fuzzy}} if edits_forgiven(word) else {"term": {text: word}})
    return alternatives


def _phrase(sought: Wanted) -> Json:
    phrase = {"match_phrase": {Text.NAME: {"query": " ".join(sought.phrase)}}}
    return {"constant_score": {"filter": phrase, "boost": sought.phrase_points}}
