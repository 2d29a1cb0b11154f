"""A vendor's own commands: opening one and changing one, each a batch by itself, decided on what the database holds."""

import logging
from collections.abc import Callable
from datetime import datetime

from actors.batch_cycle import AT_ODDS, AWAY, UNKNOWN
from actors.limits import ShardLimits
from actors.mailbox import Asked
from actors.memory import ShardMemory
from actors.outcome import Outcome, VendorDone
from actors.patience import patiently
from actors.writer import Statement, Verdict, Writer
from domain.command import CreateVendor, UpdateVendor
from domain.decide_vendor import decide_create, decide_update
from domain.event import VendorCreated, VendorUpdated
from domain.ids import VendorId
from domain.rejection import Reason, Rejection
from domain.vendor import Vendor
from storage.errors import EmailTaken, StoreUnavailable
from storage.shard_store import ShardStore

_log = logging.getLogger(__name__)

_NO_VENDOR = Rejection(Reason.NOT_FOUND, "There is no such vendor.")
_EMAIL_TAKEN = Rejection(Reason.EMAIL_TAKEN, "A vendor with this e-mail address exists already.", path="email")

VendorEvent = VendorCreated | VendorUpdated


class VendorCycle:
    """Rare and large, so it reads the vendor and its standing bookings each time rather than keeping them in memory."""

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
                verdict = await self._writer.write(self._statement(event))
            except EmailTaken:
                return await self._echo(asked, event) or _EMAIL_TAKEN
            finally:
                # Whatever came of it, memory must not answer from the vendor as it was.
                self._forget(event)
            match verdict:
                case Verdict.COMMITTED:
                    return VendorDone(event.vendor)
                case Verdict.AWAY:
                    return AWAY
                case Verdict.UNKNOWN:
                    return UNKNOWN
                case Verdict.REFUSED | Verdict.UNDONE:
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
            return _NO_VENDOR
        now = self._now()
        standing = await patiently(lambda: self._store.load_standing(command.vendor_id, now), self._writer.patience())
        return decide_update(vendor, standing, command, now=now)

    async def _echo(self, asked: Asked, event: VendorEvent) -> Outcome | None:
        """The address may be taken by an earlier send of this very command."""
        known = await self._vendor(event.vendor.vendor_id) if asked.again else None
        return None if known is None else VendorDone(known)

    async def _vendor(self, vendor_id: VendorId) -> Vendor | None:
        found = await patiently(lambda: self._store.load_vendors([vendor_id]), self._writer.patience())
        record = found.get(vendor_id)
        return None if record is None else record.vendor

    def _statement(self, event: VendorEvent) -> Statement:
        return lambda lease, seq: self._store.commit_vendor(lease, seq, event)

    def _forget(self, event: VendorEvent) -> None:
        self._memory.forget_vendor(event.vendor.vendor_id)
        if isinstance(event, VendorUpdated) and event.rescaled:
            self._memory.forget_bookings_of(event.vendor.vendor_id)
