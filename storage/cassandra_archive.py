"""`Archive` in Cassandra: a table for each question that is asked of it, each with the whole booking as JSON.

Writes are upserts with the booking's version as their timestamp, so that repeats change nothing and the highest version
stays, in whatever order they come. An ended booking keeps its user, vendor and start, which are part of the keys.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, TypeVar
from uuid import UUID, uuid5

from cassandra.cluster import Session

from domain.booking import Booking
from domain.ids import BookingId, UserId, VendorId
from storage.booking_page import PageAsked
from storage.booking_rows import booking_from_json, booking_json
from storage.cassandra import Cassandra, CassandraAddress, Row, cql

_T = TypeVar("_T")
_R = TypeVar("_R")

_TABLES: Final = ("booking_by_id", "booking_of_user", "booking_of_vendor_month", "month_of_vendor")
_STATEMENTS: Final = (
    "booking_by_id",
    "booking_version",
    "bookings_of_user",
    "bookings_of_vendor_month",
    "months_of_vendor",
    "store_by_id",
    "store_month_of_vendor",
    "store_of_user",
    "store_of_vendor_month",
)
_TABLE_IDS: Final = UUID("7c1d4f0e-53a4-5d0a-9a3c-6f1f6f4b8f52")
_REPLICAS_MAX: Final = 3
_SCHEMA_SECONDS_MAX: Final = 30.0
_AT_ONCE_MAX: Final = 64
_ROWS_LOOKED_THROUGH: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BEFORE_ALL: Final = UUID(int=0)

_Position = tuple[int, UUID]
_FIRST: Final = -(1 << 63)
_PAST_LAST: Final[_Position] = ((1 << 63) - 1, _BEFORE_ALL)
_MONTHS: Final = (0, 999_912)


class CassandraArchive:
    """Keyspace and tables are made at the first use, where they are missing."""

    def __init__(self, archive_url: str) -> None:
        """Raises ValueError for what is no address of a cluster."""
        address = CassandraAddress.parse(archive_url)
        self._cassandra = Cassandra(address, _STATEMENTS, lambda session: _make_tables(session, address.keyspace))

    async def store(self, bookings: Sequence[Booking]) -> None:
        newest: dict[BookingId, Booking] = {}
        for booking in sorted(bookings, key=lambda booking: booking.version):
            newest[booking.booking_id] = booking
        months = {(booking.vendor_id, _month(booking.starts_at)) for booking in newest.values()}
        await _at_once(self._note_month, sorted(months))
        await _at_once(self._store, newest.values())

    async def versions(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, int]:
        found = await _at_once(self._version, booking_ids)
        return {booking_id: version for booking_id, version in zip(booking_ids, found, strict=True) if version}

    async def by_id(self, booking_id: BookingId) -> Booking | None:
        rows = await self._cassandra.rows("booking_by_id", booking_id)
        return booking_from_json(rows[0][0]) if rows else None

    async def of_user(self, user_id: UserId, asked: PageAsked) -> Sequence[Booking]:
        return await self._page("bookings_of_user", (user_id,), asked)

    async def of_vendor(self, vendor_id: VendorId, asked: PageAsked) -> Sequence[Booking]:
        found: list[Booking] = []
        for (month,) in await self._cassandra.rows("months_of_vendor", vendor_id, *_months(asked)):
            if len(found) >= asked.limit:
                break
            rest = replace(asked, limit=asked.limit - len(found))
            found += await self._page("bookings_of_vendor_month", (vendor_id, month), rest)
        return found

    async def close(self) -> None:
        await self._cassandra.close()

    async def _store(self, booking: Booking) -> None:
        """By id last: what `versions` finds there is then in the other tables too."""
        document = booking_json(booking).decode()
        listed = (_microseconds(booking.starts_at), booking.booking_id, booking.status.value, document, booking.version)
        month = _month(booking.starts_at)
        rows = self._cassandra.rows
        await asyncio.gather(
            rows("store_of_user", booking.user_id, *listed),
            rows("store_of_vendor_month", booking.vendor_id, month, *listed),
        )
        await rows("store_by_id", booking.booking_id, booking.version, document, booking.version)

    async def _note_month(self, of: tuple[VendorId, int]) -> None:
        await self._cassandra.rows("store_month_of_vendor", *of)

    async def _version(self, booking_id: BookingId) -> int | None:
        rows = await self._cassandra.rows("booking_version", booking_id)
        return rows[0][0] if rows else None

    async def _page(self, name: str, partition: tuple[object, ...], asked: PageAsked) -> list[Booking]:
        """Walk down a partition until the page is full or the partition ends."""
        found: list[Booking] = []
        before = _before(asked)
        since = _FIRST if asked.starts_from is None else _microseconds(asked.starts_from)
        while len(found) < asked.limit:
            left = asked.limit - len(found)
            rows_max = left if asked.status is None else max(left, _ROWS_LOOKED_THROUGH)
            rows = await self._cassandra.rows(name, *partition, *before, since, rows_max)
            found += [booking_from_json(row[3]) for row in islice(_chosen(rows, asked), left)]
            if len(rows) < rows_max:
                break
            before = (rows[-1][0], rows[-1][1])
        return found


def _make_tables(session: Session, keyspace: str) -> None:
    """Make what is missing; blocks. Several processes may do this at the same time, on several nodes.

    A table's id is derived and not drawn, because nodes that create one table under two ids never agree again.
    """
    if not session.execute("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,)):
        # An installation that wants it otherwise makes the keyspace itself, beforehand.
        session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
            f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {_replicas(session)}}}",
            timeout=_SCHEMA_SECONDS_MAX,
        )
    session.set_keyspace(keyspace)
    rows = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,))
    known = {row[0] for row in rows}
    for table in _TABLES:
        if table not in known:
            created = cql(f"create_{table}").format(id=uuid5(_TABLE_IDS, f"{keyspace}.{table}"))
            session.execute(created, timeout=_SCHEMA_SECONDS_MAX)


def _replicas(session: Session) -> int:
    """Three, or as many as the smallest data centre has nodes."""
    counts: dict[str, int] = {}
    for host in session.cluster.metadata.all_hosts():
        counts[host.datacenter] = counts.get(host.datacenter, 0) + 1
    return min(_REPLICAS_MAX, *counts.values())


async def _at_once(work: Callable[[_T], Awaitable[_R]], items: Iterable[_T]) -> list[_R]:
    """Do it for each of them, a bounded number at the same time; the first error once none is under way any more."""
    results: list[_R] = []
    left = iter(items)
    while some := list(islice(left, _AT_ONCE_MAX)):
        for outcome in await asyncio.gather(*map(work, some), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
            results.append(outcome)
    return results


def _chosen(rows: Iterable[Row], asked: PageAsked) -> Iterable[Row]:
    return (row for row in rows if asked.status is None or row[2] == asked.status)


def _before(asked: PageAsked) -> _Position:
    """The first position that the page stays below: an id of zeros comes before every booking's."""
    bounds = [_PAST_LAST]
    if asked.after is not None:
        bounds.append((_microseconds(asked.after.starts_at), asked.after.booking_id))
    if asked.starts_before is not None:
        bounds.append((_microseconds(asked.starts_before), _BEFORE_ALL))
    return min(bounds)


def _months(asked: PageAsked) -> tuple[int, int]:
    """The oldest and the newest month that may hold something of the page."""
    oldest, newest = _MONTHS
    if asked.starts_from is not None:
        oldest = _month(asked.starts_from)
    for bound in (asked.starts_before, asked.after.starts_at if asked.after else None):
        if bound is not None:
            newest = min(newest, _month(bound))
    return oldest, newest


def _month(instant: datetime) -> int:
    instant = instant.astimezone(UTC)
    return instant.year * 100 + instant.month


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
