"""Lists of bookings: current ones from Postgres and past ones from the archive, in one order under one position.

A booking moves from the one to the other without ever being in neither: the archive has acknowledged it before it is
deleted from the current tables. So current is always read first. What is found in both, or in one while the other has
a newer version of it, counts in its newest version only, and that is settled before any filter is.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.booking import Booking
from domain.booking_list import BookingFilter, BookingPage, ListPosition
from domain.ids import BookingId, UserId, VendorId
from domain.local_time import midnight
from storage.archive import Archive
from storage.booking_cache import PAGE_SECONDS_MAX, FirstPages, of_user, of_vendor
from storage.booking_page import PageAsked
from storage.bookings import BookingReads
from storage.errors import StoreUnavailable

_REPLICA_LAG_SECONDS_MAX = 1.0


class BookingLists:
    """Each method may raise StoreUnavailable for Postgres; an archive that is away is told in the page instead.

    An owner who wrote a moment ago is served from the primary, everybody else from `replicas`, where there are any.
    """

    def __init__(
        self, primary: BookingReads, archive: Archive, *, replicas: BookingReads | None = None, pages: FirstPages
    ) -> None:
        self._primary = primary
        self._replicas = replicas
        self._archive = archive
        self._pages = pages

    async def of_user(
        self, user_id: UserId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> BookingPage:
        """At most `limit` bookings, newest start first. A guest's bookings have no common zone: dates are UTC's."""
        asked = PageAsked(limit, after, chosen.status, *_instants(chosen, "UTC"))
        return await self._page(_OfUser(user_id), asked, chosen.current, now)

    async def of_vendor(
        self, vendor_id: VendorId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> BookingPage:
        """At most `limit` bookings, newest start first; dates are the vendor's own."""
        zone = "UTC"
        if chosen.first is not None or chosen.last is not None:
            # A replica may not have heard of a young vendor, or of its zone, and no stamp would tell.
            zone = await self._primary.time_zone(vendor_id)
        asked = PageAsked(limit, after, chosen.status, *_instants(chosen, zone))
        return await self._page(_OfVendor(vendor_id), asked, chosen.current, now)

    async def _page(self, owner: "_Owner", asked: PageAsked, current: bool | None, now: datetime) -> BookingPage:
        first = current is True and asked == PageAsked(asked.limit)
        began = asyncio.get_running_loop().time()
        looked = await self._pages.look(owner.name, asked.limit if first else None, now)
        if looked.bookings is not None:
            return BookingPage(looked.bookings)
        reads = self._primary if looked.wrote_lately or self._replicas is None else self._replicas
        if current is not True:
            return await _Merge(owner, reads, self._archive, current, now).page(asked)
        found = await owner.current(reads, asked, current=True, now=now)
        if first:
            # A page is as old as what it was made of.
            old = 0.0 if reads is self._primary else _REPLICA_LAG_SECONDS_MAX
            left = PAGE_SECONDS_MAX - old - (asyncio.get_running_loop().time() - began)
            await self._pages.keep(owner.name, asked.limit, looked, found, left)
        return BookingPage(found)


class _Merge:
    """One page of both stores."""

    def __init__(
        self, owner: "_Owner", reads: BookingReads, archive: Archive, current: bool | None, now: datetime
    ) -> None:
        self._owner = owner
        self._reads = reads
        self._archive = archive
        self._current = current
        self._now = now
        self._past_missing = False

    async def page(self, asked: PageAsked) -> BookingPage:
        """As many rounds as it takes to fill the page; what an archive holds in old versions only makes it two."""
        found: list[Booking] = []
        seen: set[UUID] = set()
        after = asked.after
        while True:
            part, after = await self._round(replace(asked, after=after))
            found += [booking for booking in part if booking.booking_id not in seen]
            seen.update(booking.booking_id for booking in part)
            if after is None or len(found) >= asked.limit:
                return BookingPage(found[: asked.limit], self._past_missing)

    async def _round(self, asked: PageAsked) -> tuple[list[Booking], ListPosition | None]:
        """What is known for sure after the position, in order, and up to where; None for up to the end."""
        here = await self._owner.current(self._reads, asked, current=self._current, now=self._now)
        standing, archived = await self._of_archive(here, asked)
        known = {booking.booking_id for booking in standing}
        versions = await self._reads.versions([one.booking_id for one in archived if one.booking_id not in known])
        newest = {booking.booking_id: booking for booking in standing}
        for booking in archived:
            rival = newest.get(booking.booking_id)
            if versions.get(booking.booking_id, 0) > booking.version or (rival and rival.version >= booking.version):
                continue
            if self._wanted(booking):
                newest[booking.booking_id] = booking
        # A store that filled its page may have more right after it, so beyond that nothing is sure yet.
        ends = [_place(page[-1]) for page in (here, archived) if len(page) == asked.limit]
        found = sorted(newest.values(), key=_place, reverse=True)
        if not ends:
            return found, None
        end = max(ends)
        return [booking for booking in found if _place(booking) >= end], ListPosition(*end)

    async def _of_archive(
        self, here: Sequence[Booking], asked: PageAsked
    ) -> tuple[Sequence[Booking], Sequence[Booking]]:
        """Which of the current ones the archive knows nothing newer of, and its own page.

        The versions are asked first: what they say is there, the page then has.
        """
        if self._past_missing:
            return here, ()
        try:
            newer = await self._archive.versions([booking.booking_id for booking in here]) if here else {}
            archived = await self._owner.past(self._archive, asked)
        except StoreUnavailable:
            self._past_missing = True
            return here, ()
        return [booking for booking in here if newer.get(booking.booking_id, 0) <= booking.version], archived

    def _wanted(self, booking: Booking) -> bool:
        is_current = booking.live and booking.ends_at > self._now
        return self._current is None or is_current is self._current


class _Owner(Protocol):
    """Whose list it is, and how it is asked for."""

    @property
    def name(self) -> str: ...

    async def current(
        self, reads: BookingReads, asked: PageAsked, *, current: bool | None, now: datetime
    ) -> Sequence[Booking]: ...

    async def past(self, archive: Archive, asked: PageAsked) -> Sequence[Booking]: ...


@dataclass(frozen=True, slots=True)
class _OfUser:
    user_id: UserId

    @property
    def name(self) -> str:
        return of_user(self.user_id)

    async def current(
        self, reads: BookingReads, asked: PageAsked, *, current: bool | None, now: datetime
    ) -> Sequence[Booking]:
        return await reads.of_user(self.user_id, asked, current=current, now=now)

    async def past(self, archive: Archive, asked: PageAsked) -> Sequence[Booking]:
        return await archive.of_user(self.user_id, asked)


@dataclass(frozen=True, slots=True)
class _OfVendor:
    vendor_id: VendorId

    @property
    def name(self) -> str:
        return of_vendor(self.vendor_id)

    async def current(
        self, reads: BookingReads, asked: PageAsked, *, current: bool | None, now: datetime
    ) -> Sequence[Booking]:
        return await reads.of_vendor(self.vendor_id, asked, current=current, now=now)

    async def past(self, archive: Archive, asked: PageAsked) -> Sequence[Booking]:
        return await archive.of_vendor(self.vendor_id, asked)


def _place(booking: Booking) -> tuple[datetime, BookingId]:
    """Where the booking stands in its list: higher is nearer to the top."""
    return booking.starts_at, booking.booking_id


def _instants(chosen: BookingFilter, zone: str) -> tuple[datetime | None, datetime | None]:
    """Starts from, and starts before, for the days chosen in a zone."""
    first, last = chosen.first, chosen.last
    return (
        midnight(zone, first) if first else None,
        midnight(zone, last + timedelta(days=1)) if last and last < date.max else None,
    )
