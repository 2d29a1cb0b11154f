"""A vendor's own commands: opening one and changing one, each a batch by itself, decided on what the database holds."""

import logging
from collections.abc import Callable
from datetime import datetime

from actors.limits import ShardLimits
from actors.mailbox import Asked
from actors.memory import ShardMemory
from actors.outcome import AT_ODDS, AWAY, NO_VENDOR, UNKNOWN, Outcome, VendorDone
from actors.patience import patiently
from actors.writer import Statement, WriteEnd, Writer
from domain.command import CreateVendor, UpdateVendor
from domain.decide_vendor import capacities, decide_create, decide_update, seats_at_stake, would_strand
from domain.event import VendorCreated, VendorUpdated
from domain.ids import VendorId
from domain.rejection import Reason, Rejection
from domain.vendor import Vendor
from storage.errors import EmailTaken, StoreUnavailable
from storage.shard_store import ShardStore

_log = logging.getLogger(__name__)

_EMAIL_TAKEN = Rejection(Reason.EMAIL_TAKEN, "A vendor with this e-mail address exists already.", path="email")

VendorEvent = VendorCreated | VendorUpdated


class VendorCycle:
    """Rare and large, so it reads the vendor each time rather than keeping it in memory.

    Standing bookings are never read, a large house has hundreds of thousands: the database says which seats are in
    use and whom a change would strand, and that only where seats are at stake.
    """

    def __init__(
        self,
        store: ShardStore,
        writer: Writer,
        memory: ShardMemory,
        limits: ShardLimits,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._writer = writer
        self._memory = memory
        self._limits = limits
        self._now = now

    async def perform(self, asked: Asked, command: CreateVendor | UpdateVendor) -> None:
        """Decide, write and answer. Raises Fenced when the shard is no longer ours."""
        try:
            outcome = await self._outcome(asked, command)
        except StoreUnavailable:
            self._writer.away = True
            outcome = AWAY
        asked.answer(outcome)

    async def _outcome(self, asked: Asked, command: CreateVendor | UpdateVendor) -> Outcome:
        for _ in range(self._limits.guard_refusals_max):
            event = await self._decide(asked, command)
            if not isinstance(event, VendorCreated | VendorUpdated):
                return event
            self._memory.about_to_write([event.vendor.vendor_id])
            try:
                end = await self._writer.write(self._statement(event))
            except EmailTaken:
                return await self._echo(asked, event) or _EMAIL_TAKEN
            finally:
                # Whatever came of it, memory must not answer from the vendor as it was.
                self._forget(event)
            match end:
                case WriteEnd.COMMITTED:
                    return VendorDone(event.vendor)
                case WriteEnd.AWAY:
                    return AWAY
                case WriteEnd.UNKNOWN:
                    return UNKNOWN
                case WriteEnd.REFUSED | WriteEnd.UNDONE:
                    continue
        _log.error("the guard refused a vendor's change %d times", self._limits.guard_refusals_max)
        return AT_ODDS

    async def _decide(self, asked: Asked, command: CreateVendor | UpdateVendor) -> VendorEvent | Outcome:
        if isinstance(command, CreateVendor):
            if asked.again:
                known = await self._vendor(command.vendor.vendor_id)
                if known is not None:
                    return VendorDone(known)
            return decide_create(command, now=self._now())
        vendor = await self._vendor(command.vendor_id)
        if vendor is None:
            return NO_VENDOR
        now = self._now()
        event = decide_update(vendor, command, now=now)
        if isinstance(event, Rejection):
            return event
        at_stake = seats_at_stake(event)
        return await self._sparing(vendor, command, at_stake, now) if at_stake else event

    async def _sparing(
        self, vendor: Vendor, command: UpdateVendor, at_stake: frozenset[int], now: datetime
    ) -> VendorEvent | Outcome:
        """An update that takes away or shrinks seats: none that a standing booking needs."""
        patience = self._writer.patience()
        in_use = await patiently(
            lambda: self._store.load_seats_in_use(vendor.vendor_id, now, sorted(at_stake)), patience
        )
        event = decide_update(vendor, command, now=now, needed=in_use)
        if isinstance(event, Rejection) or not in_use:
            return event
        capacity_of = capacities(event.vendor)
        stranded = await patiently(
            lambda: self._store.load_stranded(vendor.vendor_id, now, capacity_of, self._limits.stranded_listed_max),
            patience,
        )
        return would_strand(stranded) if stranded else event

    async def _echo(self, asked: Asked, event: VendorEvent) -> Outcome | None:
        """The address may be taken by an earlier send of this very command."""
        known = await self._vendor(event.vendor.vendor_id) if asked.again else None
        return None if known is None else VendorDone(known)

    async def _vendor(self, vendor_id: VendorId) -> Vendor | None:
        return await patiently(lambda: self._store.load_vendor(vendor_id), self._writer.patience())

    def _statement(self, event: VendorEvent) -> Statement:
        return lambda lease, seq: self._store.commit_vendor(lease, seq, event)

    def _forget(self, event: VendorEvent) -> None:
        self._memory.forget_vendor(event.vendor.vendor_id)
        if isinstance(event, VendorUpdated) and event.rescaled:
            self._memory.forget_bookings_of(event.vendor.vendor_id)
