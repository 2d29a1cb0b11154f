"""The search index in Elasticsearch.

Aliases say what is what: the installation's own (`vendors`) is on the one index that is searched, each index has one of
its own to write by (`vendors-write-<generation>`), and one that is being filled has `vendors-building` besides.

`rebuild` makes an index, fills it, and moves the aliases in one atomic step. `put` asks anew each time which indexes
there are and writes all of them, so that a rebuild in any other process is noticed. Nothing is lost on the way: whoever
put before the new index was there had its vendor committed in Postgres before the rebuild began to read vendors,
whoever puts later writes the new index too, and versions are external, so that an older one never replaces a newer.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, NotFoundError, TransportError

from domain.search import Candidate, CandidateQuery, SortPosition
from domain.vendor import Vendor
from storage.elasticsearch_documents import MAPPINGS, SETTINGS, read_back, stored
from storage.elasticsearch_query import key_of, request
from storage.errors import StoreError, StoreUnavailable
from storage.search_document import SearchDocument, newest
from storage.search_text import wanted

_SECONDS_MAX: Final = 10.0
_BULK_AT_ONCE: Final = 500
_TRIES: Final = 3
_AWAY: Final = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
_OLDER_VERSION: Final = 409
_GONE: Final = 404
_NOT_YET: Final = 503
_OPENS_WITHIN: Final = "3s"


class ElasticsearchIndex:
    """At `http://user:password@host:port/alias`; user and password where the server asks for them."""

    def __init__(self, search_url: str) -> None:
        address = urlsplit(search_url)
        self._alias = address.path.strip("/")
        if address.scheme not in {"http", "https"} or not address.hostname or not self._alias or "/" in self._alias:
            raise ValueError("the search index's URL is like http://host:port/alias")
        port = address.port or (443 if address.scheme == "https" else 9200)
        login = (unquote(address.username), unquote(address.password or "")) if address.username else None
        self._client = AsyncElasticsearch(
            [{"scheme": address.scheme, "host": address.hostname, "port": port}],
            basic_auth=login,
            request_timeout=_SECONDS_MAX,
            max_retries=1,
            retry_on_timeout=False,
        )

    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        sought = None if query.text is None else wanted(query.text)
        if sought is not None and not sought.required:
            return ()
        with _translated():
            found = await self._search(request(query, sought, after, limit))
        return [read_back(query, hit, key_of(query, hit["sort"])) for hit in found["hits"]["hits"]]

    async def _search(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Once more where the index was only just made, or its server only just started."""
        try:
            return await self._asked(asked)
        except NotFoundError:
            await self._ensure()
        except ApiError as error:
            if error.status_code != _NOT_YET:
                raise
            await self._client.cluster.health(index=self._alias, wait_for_status="yellow", timeout=_OPENS_WITHIN)
        return await self._asked(asked)

    async def _asked(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._client.search(index=self._alias, **asked)).body
        return found

    async def put(self, vendors: Sequence[Vendor]) -> None:
        documents = newest(vendors)
        for first in range(0, len(documents), _BULK_AT_ONCE):
            await self._write_everywhere(documents[first : first + _BULK_AT_ONCE])

    async def rebuild(self, vendors: AsyncIterator[Sequence[Vendor]]) -> None:
        """Raises StoreError when another rebuild began meanwhile: that one goes on."""
        with _translated():
            await self._ensure()
            await self._drop_leftovers()
            generation = str(time.time_ns())
            index = self._index(generation)
            await self._create(generation, self._building)
            try:
                async for page in vendors:
                    await self._fill(generation, newest(page))
                await self._client.indices.refresh(index=index)
                old = [name for name in await self._indexes(self._alias) if name != index]
                await self._take_into_use(index, old)
            except BaseException:
                with suppress(ApiError, TransportError):
                    await self._drop_unfinished(index)
                raise
            await self._drop(old)

    async def count(self) -> int:
        with _translated():
            try:
                return int((await self._client.count(index=self._alias))["count"])
            except NotFoundError:
                await self._ensure()
                return 0

    async def close(self) -> None:
        await self._client.close()

    @property
    def _building(self) -> str:
        return f"{self._alias}-building"

    def _index(self, generation: str) -> str:
        return f"{self._alias}-{generation}"

    def _write_alias(self, generation: str) -> str:
        return f"{self._alias}-write-{generation}"

    async def _ensure(self) -> None:
        """Make the first index, whose name is always the same, so that of many processes one makes it."""
        if not await self._client.indices.exists_alias(name=self._alias):
            with suppress(_AlreadyThere):
                await self._create("1", self._alias)

    async def _create(self, generation: str, alias: str) -> None:
        """With its aliases in the same step: nobody ever sees the one without the others."""
        try:
            await self._client.indices.create(
                index=self._index(generation),
                aliases={alias: {}, self._write_alias(generation): {}},
                mappings=MAPPINGS,
                settings=SETTINGS,
            )
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            raise _AlreadyThere from error

    async def _indexes(self, alias: str) -> Mapping[str, Any]:
        """The indexes that have an alias, or one of a pattern, each with those aliases."""
        try:
            found: Mapping[str, Any] = (await self._client.indices.get_alias(name=alias)).body
        except NotFoundError:
            return {}
        return found

    async def _write_everywhere(self, documents: Sequence[SearchDocument]) -> None:
        """Into each index there is. One that ended on the way has a successor, which is then asked for anew."""
        with _translated():
            for _ in range(_TRIES):
                found = await self._indexes(self._write_alias("*"))
                aliases = [alias for index in found.values() for alias in index["aliases"]]
                if aliases and await self._bulk(documents, aliases, refresh="wait_for"):
                    return
                await self._ensure()
        raise StoreUnavailable("Elasticsearch: the index went away again and again")

    async def _fill(self, generation: str, documents: Sequence[SearchDocument]) -> None:
        for first in range(0, len(documents), _BULK_AT_ONCE):
            part = documents[first : first + _BULK_AT_ONCE]
            if not await self._bulk(part, [self._write_alias(generation)], refresh="false"):
                raise _given_up()

    async def _bulk(self, documents: Sequence[SearchDocument], aliases: Sequence[str], refresh: str) -> bool:
        """Whether all of the indexes were there."""
        operations: list[Mapping[str, Any]] = []
        for document in documents:
            body = stored(document)
            for alias in aliases:
                kept = {"_id": body["vendor_id"], "version": document.version, "version_type": "external_gte"}
                operations += [{"index": {"_index": alias, **kept}}, body]
        answer = await self._client.bulk(
            operations=operations, refresh=refresh, require_alias=True, timeout=f"{_SECONDS_MAX / 2:.0f}s"
        )
        if not answer["errors"]:
            return True
        faults = [item["index"] for item in answer["items"] if "error" in item["index"]]
        _raise_worst([fault for fault in faults if fault["status"] not in {_OLDER_VERSION, _GONE}])
        return not any(fault["status"] == _GONE for fault in faults)

    async def _take_into_use(self, index: str, old: Sequence[str]) -> None:
        """One step for everybody who searches. It fails if the new index is not the one being built any more."""
        actions: list[Mapping[str, Any]] = [
            {"remove": {"index": index, "alias": self._building, "must_exist": True}},
            {"add": {"index": index, "alias": self._alias}},
            *({"remove": {"index": name, "alias": self._alias}} for name in old),
        ]
        try:
            await self._client.indices.update_aliases(actions=actions)
        except NotFoundError as error:
            raise _given_up() from error

    async def _drop_leftovers(self) -> None:
        """Of rebuilds that were broken off: what was being filled, and what was out of use and not deleted yet."""
        for index in await self._indexes(self._building):
            await self._drop_unfinished(index)
        used = await self._indexes(self._alias)
        await self._drop([index for index in await self._indexes(self._write_alias("*")) if index not in used])

    async def _drop_unfinished(self, index: str) -> None:
        """Once it is no more the one being built, nobody takes it into use; if that came first, it stays."""
        try:
            await self._client.indices.update_aliases(
                actions=[{"remove": {"index": index, "alias": self._building, "must_exist": True}}]
            )
        except NotFoundError:
            return
        await self._drop([index])

    async def _drop(self, indexes: Sequence[str]) -> None:
        for index in indexes:
            await self._client.indices.delete(index=index, ignore_unavailable=True)


class _AlreadyThere(Exception):
    """Another process made the index first."""


def _given_up() -> StoreError:
    return StoreError("another rebuild of the search index began meanwhile")


def _raise_worst(faults: Sequence[Mapping[str, Any]]) -> None:
    """What the server could not do comes before what it would not do: it may do it later."""
    for fault in sorted(faults, key=lambda fault: fault["status"] not in _AWAY):
        told = f"Elasticsearch: {fault['error']['type']}: {fault['error'].get('reason')}"
        raise StoreUnavailable(told) if fault["status"] in _AWAY else StoreError(told)


@contextmanager
def _translated() -> Iterator[None]:
    """A server that is away, too busy, broken or locked is StoreUnavailable; what it finds wrong with us is a bug."""
    try:
        yield
    except TransportError as error:
        raise StoreUnavailable(f"Elasticsearch: {type(error).__name__}: {error}") from error
    except ApiError as error:
        if error.status_code in _AWAY or isinstance(error, NotFoundError):
            raise StoreUnavailable(f"Elasticsearch: {type(error).__name__}: {error}") from error
        raise
