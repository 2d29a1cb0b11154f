"""Candidates of the search index in Redis, for the moment in which many people look for the same.

What an index names is kept, never what a shard said of it: who is free is judged anew for every request.
"""

import asyncio
import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.ids import VendorId
from domain.money import Money
from domain.search import Candidate, CandidateQuery, SortPosition
from domain.vendor import Location, VendorKind

_log = logging.getLogger(__name__)

_PREFIX: Final = "holdfast:candidates:1:"
"""The number is the form of the documents: another release's are another's."""
_DIGEST_BYTES: Final = 16


class NamesCandidates(Protocol):
    async def candidates(
        self, query: CandidateQuery, *, after: SortPosition | None, limit: int
    ) -> Sequence[Candidate]: ...


class CandidateCache:
    """In front of an index. A Redis that is away costs nothing but the index's work, and is asked again a second later.

    `redis` should have short timeouts and no retries of its own. StoreUnavailable is the index's own.
    """

    def __init__(
        self, index: NamesCandidates, redis: Redis, *, ttl_seconds: float = 1.0, rest_seconds: float = 1.0
    ) -> None:
        self._index = index
        self._redis = redis
        self._ttl_ms = int(ttl_seconds * 1000)
        self._rest_seconds = rest_seconds
        self._asked_again_at = float("-inf")

    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        """As the index says, or said within the last `ttl_seconds`."""
        key = _key(query, after, limit)
        known = await self._kept(key)
        if known is not None:
            return known
        candidates = await self._index.candidates(query, after=after, limit=limit)
        await self._keep(key, candidates)
        return candidates

    async def _kept(self, key: str) -> list[Candidate] | None:
        if self._resting():
            return None
        try:
            document = await self._redis.get(key)
        except (RedisError, OSError) as error:
            self._rest(error)
            return None
        return None if document is None else _from_json(document)

    async def _keep(self, key: str, candidates: Sequence[Candidate]) -> None:
        if self._resting():
            return
        try:
            await self._redis.set(key, _json(candidates), px=self._ttl_ms)
        except (RedisError, OSError) as error:
            self._rest(error)

    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._asked_again_at

    def _rest(self, error: Exception) -> None:
        _log.warning("the cache is away, searching without it: %s", error)
        self._asked_again_at = asyncio.get_running_loop().time() + self._rest_seconds


def _key(query: CandidateQuery, after: SortPosition | None, limit: int) -> str:
    asked = repr((query, after, limit)).encode("utf-8", "surrogatepass")
    return _PREFIX + blake2b(asked, digest_size=_DIGEST_BYTES).hexdigest()


def _json(candidates: Sequence[Candidate]) -> bytes:
    """A position's key goes as text, because JSON has no infinity."""
    return orjson.dumps([(candidate, candidate.position.key.hex()) for candidate in candidates])


def _from_json(document: bytes | str) -> list[Candidate]:
    return [_candidate(found, key) for found, key in orjson.loads(document)]


def _candidate(found: dict[str, Any], key: str) -> Candidate:
    vendor_id = VendorId(UUID(found["vendor_id"]))
    return Candidate(
        vendor_id=vendor_id,
        version=found["version"],
        kind=VendorKind(found["kind"]),
        name=found["name"],
        city=found["city"],
        location=Location(**found["location"]),
        cuisines=tuple(found["cuisines"]),
        amenities=tuple(found["amenities"]),
        from_price=None if found["from_price"] is None else Money(**found["from_price"]),
        distance_km=found["distance_km"],
        position=SortPosition(float.fromhex(key), vendor_id),
    )
