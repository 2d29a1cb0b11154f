"""Many vendors looked at for one search: loaded a few at a time, judged from memory, with room for batches in between."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import Final

from actors.client import JUDGED_MAX
from actors.look_gate import LookGate
from actors.mailbox import Asked, LoadVendors, Mailbox
from actors.outcome import OVERLOADED, TOO_MANY_LOOK, Outcome, Unavailable
from domain.ids import VendorId, bucket_of
from domain.preview import preview
from domain.search import SeatWish, Verdict
from domain.vendor_state import VendorState

LOADED_AT_ONCE: Final = 50
"""Vendors that one batch reads for a search: some 10 ms, for which the bookings of that batch wait."""

JUDGED_AT_ONCE: Final = 20
"""Vendors that are judged, at 5 us each, before everybody else has a turn."""

JUDGED_SECONDS: Final = 0.001
"""Or fewer, once they took so long: other times of the day are looked for in 150 us, in a huge house in 10 ms."""

RefusalToRead = Callable[[int], Awaitable[Unavailable | None]]
"""Why the shard may not answer for a bucket now."""


class Judging:
    """Reads a shard's committed memory, and asks its mailbox for what memory lacks."""

    def __init__(
        self,
        vendors: Mapping[VendorId, VendorState],
        mailbox: Mailbox,
        looks: LookGate,
        now: Callable[[], datetime],
        refusal_to_read: RefusalToRead,
    ) -> None:
        self._vendors = vendors
        self._mailbox = mailbox
        self._looks = looks
        self._now = now
        self._refusal_to_read = refusal_to_read

    async def verdicts(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> list[Verdict] | Unavailable:
        """In the given order, unknown vendors left out. ValueError for more than JUDGED_MAX."""
        if len(vendor_ids) > JUDGED_MAX:
            raise ValueError(f"{len(vendor_ids)} vendors to judge at once")
        verdicts: list[Verdict] = []
        for start in range(0, len(vendor_ids), LOADED_AT_ONCE):
            some = await self._judged(vendor_ids[start : start + LOADED_AT_ONCE], wish)
            if isinstance(some, Unavailable):
                return some
            verdicts += some
        return verdicts

    async def _judged(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> list[Verdict] | Unavailable:
        for bucket in {bucket_of(vendor_id) for vendor_id in vendor_ids}:
            refusal = await self._refusal_to_read(bucket)
            if refusal is not None:
                return refusal
        unknown = [vendor_id for vendor_id in vendor_ids if vendor_id not in self._vendors]
        loaded = await load_vendors(self._mailbox, unknown) if unknown else {}
        if isinstance(loaded, Unavailable):
            return loaded
        verdicts: list[Verdict] = []
        async with self._looks.turn() as admitted:
            if not admitted:
                return TOO_MANY_LOOK
            judged, until = 0, perf_counter() + JUDGED_SECONDS
            for vendor_id in vendor_ids:
                state = self._vendors.get(vendor_id) or loaded.get(vendor_id)
                if state is not None:
                    verdicts.append(preview(state, wish, now=self._now()))
                judged += 1
                if judged == JUDGED_AT_ONCE or perf_counter() > until:
                    await asyncio.sleep(0)
                    judged, until = 0, perf_counter() + JUDGED_SECONDS
        return verdicts


async def load_vendors(
    mailbox: Mailbox, vendor_ids: Sequence[VendorId]
) -> Mapping[VendorId, VendorState] | Unavailable:
    """Vendors that memory lacked, read between two batches; unknown ones are absent."""
    if mailbox.full:
        return OVERLOADED
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    wanted = LoadVendors(vendor_ids)
    mailbox.put(Asked(wanted, future))
    outcome = await future
    return outcome if isinstance(outcome, Unavailable) else wanted.found
