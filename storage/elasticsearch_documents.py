"""Vendors in Elasticsearch: the mapping, a vendor as its document, and the candidate that is read back from it.

Text comes in as words that Holdfast has cut and folded already, so that the analyzer has only to split at spaces; scores
are constants, so no norms and no frequencies are kept. `dynamic: strict` refuses a field that nobody thought about.
"""

from typing import Any, Final
from uuid import UUID

from domain.ids import VendorId
from domain.search import Candidate, CandidateQuery
from storage.search_document import SearchDocument, candidate, label

_KEYWORD: Final = {"type": "keyword"}
_WORDS: Final = {"type": "text", "analyzer": "whitespace", "norms": False, "index_options": "docs"}

SETTINGS: Final[dict[str, Any]] = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    "refresh_interval": "500ms",
}
"""One shard holds millions of such small documents and puts them in order by itself; a second node gets a copy."""

MAPPINGS: Final[dict[str, Any]] = {
    "dynamic": "strict",
    "properties": {
        "vendor_id": _KEYWORD,
        "version": {"type": "integer", "index": False},
        "kind": _KEYWORD,
        "name": {**_WORDS, "index_options": "positions"},
        "about": _WORDS,
        "description": _WORDS,
        "city": _KEYWORD,
        "cuisines": _KEYWORD,
        "amenities": _KEYWORD,
        "place": {"type": "geo_point"},
        "party_max": {"type": "integer"},
        "from_minor": {"type": "long"},
        "seats": {"type": "nested", "properties": {"seat_type": _KEYWORD, "price_minor": {"type": "long"}}},
        "shown": {"type": "object", "enabled": False},
    },
}
"""`seats` are nested, one for each seat type, so that a type and its price are asked of one and the same."""

READ_BACK: Final = ("version", "shown", "from_minor", "seats")


def stored(document: SearchDocument) -> dict[str, Any]:
    return {
        "vendor_id": str(document.vendor_id),
        "version": document.version,
        "kind": document.kind,
        "name": " ".join(document.name),
        "about": " ".join(document.about),
        "description": " ".join(document.description),
        "city": document.city,
        "cuisines": document.cuisines,
        "amenities": document.amenities,
        "place": {"lat": document.location.lat, "lon": document.location.lon},
        "party_max": document.party_max,
        "from_minor": document.from_minor,
        "seats": [{"seat_type": name, "price_minor": price} for name, price in document.prices.items()],
        "shown": document.shown,
    }


def read_back(query: CandidateQuery, hit: dict[str, Any], key: float) -> Candidate:
    source = hit["_source"]
    from_minor = source["from_minor"]
    if query.seat_type is not None:
        asked = label(query.seat_type)
        from_minor = next(seat["price_minor"] for seat in source["seats"] if seat["seat_type"] == asked)
    of = VendorId(UUID(hit["_id"]))
    return candidate(query, of, source["version"], source["shown"], from_minor=from_minor, key=key)
