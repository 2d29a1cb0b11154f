"""Bookings in the cache, one by one and as the first page of an owner's list.

Every process that has a shard write a booking notes it here before it answers. A shard by itself lets holds expire and
settles what is over, and tells nobody: so a booking found here is believed only while it could not have done either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.booking import Booking, BookingStatus
from domain.ids import BookingId, UserId, VendorId
from storage.booking_rows import booking_from_json, booking_json, bookings_from_json, bookings_json
from storage.cache import VersionedCache

PAGE_SECONDS_MAX: Final = 2.0
"""No list is older than this, whatever became of the notes about what changed in it."""
WROTE_LATELY_SECONDS: Final = 3.0

Clock = Callable[[], datetime]


class BookingCache:
    def __init__(self, cache: VersionedCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    async def known(self, booking_id: BookingId) -> Booking | None:
        """The booking as last noted; None where the cache does not know, or cannot be sure any more."""
        cached = await self._cache.get(_key(booking_id))
        if cached is None:
            return None
        booking = booking_from_json(cached)
        return booking if stands(booking, self._clock()) else None

    @property
    def era(self) -> bytes:
        """To be had before a booking is read or written, and given to `fill` or `note`."""
        return self._cache.era

    async def fill(self, booking: Booking, era: bytes) -> None:
        """Keep what the primary or the archive said in an era, if that is not over."""
        await self._cache.fill(_key(booking.booking_id), booking.version, booking_json(booking), era)

    async def note(self, booking: Booking, era: bytes = b"", *, replayed: bool = False) -> None:
        """A booking was written in an era; without one only its version is kept, and the next reader fills it in.

        One that is replayed is as it was then, which is not for others to read.
        """
        key, owners = _key(booking.booking_id), (of_user(booking.user_id), of_vendor(booking.vendor_id))
        if replayed:
            await self._cache.mark(key, booking.version, owners)
        elif booking.version == 1:
            # Nobody can have read it before, so there is nothing to put right; the first to ask for it fills it in.
            await self._cache.stamp(owners)
        else:
            await self._cache.put(key, booking.version, booking_json(booking), era, owners)

    async def doubt(self, booking_id: BookingId) -> None:
        """A change of the booking may have happened or not: everybody reads the primary for a while."""
        await self._cache.doubt(_key(booking_id))


@dataclass(frozen=True, slots=True)
class Looked:
    """What the cache says of an owner's list: its first page, whether somebody just wrote, the stamp to keep it under."""

    bookings: Sequence[Booking] | None
    wrote_lately: bool
    stamp: bytes | None


class FirstPages:
    """The first page of an owner's current bookings, kept for a moment and gone with the next write."""

    def __init__(self, cache: VersionedCache) -> None:
        self._cache = cache

    async def look(self, owner: str, limit: int | None, now: datetime) -> Looked:
        """With a limit, the first page of so many as well. A cache that is away counts as a write just made."""
        found = await self._cache.look(owner, None if limit is None else _page(owner, limit))
        if found is None:
            return Looked(None, wrote_lately=True, stamp=None)
        bookings = None
        if found.document is not None:
            bookings = bookings_from_json(found.document)
            if not all(stands(booking, now) for booking in bookings):
                bookings = None
        return Looked(bookings, found.age_seconds < WROTE_LATELY_SECONDS, found.stamp)

    async def keep(self, owner: str, limit: int, looked: Looked, bookings: Sequence[Booking], seconds: float) -> None:
        """`looked` from before the bookings were read; `seconds` is what is left of the page's life."""
        if looked.stamp is not None and seconds > 0:
            await self._cache.keep(_page(owner, limit), looked.stamp, bookings_json(bookings), int(seconds * 1000) or 1)


def stands(booking: Booking, now: datetime) -> bool:
    """Whether no shard has ended the booking by itself before `now`."""
    match booking.status:
        case BookingStatus.BLOCKED:
            return booking.hold_expires_at is not None and now < booking.hold_expires_at
        case BookingStatus.CONFIRMED:
            return now < booking.ends_at
        case _:
            return True


def of_user(user_id: UserId) -> str:
    """A guest as the owner of a list."""
    return f"user:{user_id}"


def of_vendor(vendor_id: VendorId) -> str:
    """A vendor as the owner of a list."""
    return f"vendor:{vendor_id}"


def _key(booking_id: BookingId) -> str:
    return f"booking:{booking_id}"


def _page(owner: str, limit: int) -> str:
    return f"page:{owner}:{limit}"
