"""What happens to one batch: read what memory lacks, decide on an overlay, write one statement, apply, then answer."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from actors.draft import Draft, same_hold
from actors.idempotency import replay
from actors.limits import ShardLimits
from actors.mailbox import Asked, LoadVendors
from actors.memory import ShardMemory
from actors.outcome import AT_ODDS, AWAY, NO_VENDOR, UNKNOWN, Done, Outcome, Unavailable
from actors.patience import patiently
from actors.shard_stats import BatchMeter
from actors.waiting import NewsDesk
from actors.writer import WriteEnd, Writer
from domain.booking import Booking
from domain.command import AmendBooking, ExpireHold, PlaceHold, SetStatus, SettleEnded
from domain.ids import BookingId, VendorId
from storage.errors import StoreUnavailable
from storage.shard_store import Answer, ShardStore

_log = logging.getLogger(__name__)

_CHANGES = (AmendBooking, SetStatus, ExpireHold, SettleEnded)


class BatchCycle:
    """Takes one batch at a time from decision to answer. Raises Fenced when the shard is no longer ours."""

    def __init__(
        self,
        store: ShardStore,
        writer: Writer,
        memory: ShardMemory,
        limits: ShardLimits,
        *,
        news: NewsDesk,
        meter: BatchMeter,
        now: Callable[[], datetime],
        put_off: Callable[[Sequence[Asked]], None],
    ) -> None:
        self._store = store
        self._writer = writer
        self._memory = memory
        self._limits = limits
        self._news = news
        self._meter = meter
        self._now = now
        self._put_off = put_off
        self._lost: Draft | None = None

    async def recover(self) -> bool:
        """Learn how a lost write ended, after its callers were told that nobody knows; False while still unknown."""
        lost, self._lost = self._lost, None
        match await self._writer.resolve():
            case WriteEnd.UNKNOWN:
                self._lost = lost
                return False
            case WriteEnd.COMMITTED if lost is not None:
                self._apply(lost)
            case _:
                pass
        return True

    async def perform(self, asked: Sequence[Asked]) -> None:
        """Answer every command, or put it off to the next batch.

        A refused guard means that memory was wrong: what the batch touched is read again and everything decided anew,
        after the second time one command per batch, so that an innocent one never fails for its neighbour.
        """
        for failed in range(1, self._limits.guard_refusals_max + 1):
            draft = await self._decide(asked)
            if draft is None:
                self.turn_away(asked, AWAY)
                return
            end = await self._write(draft) if draft.events else WriteEnd.COMMITTED
            if end not in (WriteEnd.REFUSED, WriteEnd.UNDONE):
                self._conclude(draft, asked, end)
                return
            if not await self._read_again(draft, asked):
                self.turn_away(asked, AWAY)
                return
            if failed >= 2 and len(asked) > 1:
                await self._one_by_one(asked)
                return
        _log.error("the guard kept refusing what was read just before")
        self.turn_away(asked, AT_ODDS)

    def _conclude(self, draft: Draft, asked: Sequence[Asked], end: WriteEnd) -> None:
        match end:
            case WriteEnd.COMMITTED:
                self._apply(draft)
                self._answer(draft)
            case WriteEnd.UNKNOWN:
                self._fail_unknown(draft)
            case _:
                self.turn_away(asked, AWAY)

    async def _one_by_one(self, asked: Sequence[Asked]) -> None:
        for number, one in enumerate(asked):
            if self._writer.unresolved:
                self.turn_away(asked[number:], AWAY)
                return
            await self.perform([one])

    async def _decide(self, asked: Sequence[Asked]) -> Draft | None:
        """A draft of the batch; None when what it needs could not be read."""
        try:
            decidable = await self._load(asked)
            draft = Draft(self._memory, self._now(), self._limits)
            draft.decide_all(decidable)
            if draft.doubts:
                await self._settle_doubts(draft)
        except StoreUnavailable:
            self._writer.away = True
            return None
        return draft

    async def _load(self, asked: Sequence[Asked]) -> Sequence[Asked]:
        """Read what memory lacks: the bookings in one query, then all their vendors in one. What is left to decide."""
        known = self._memory.vendors
        # Nearly every batch is of holds alone, and each is looked at here: so they take the short way.
        others = [one for one in asked if type(one.command) is not PlaceHold]
        vendors = {one.command.vendor_id for one in asked if type(one.command) is PlaceHold}
        if others:
            vendors |= await self._load_others(others)
        unknown = {vendor_id for vendor_id in vendors if vendor_id not in known}
        if unknown:
            await self._load_vendors(unknown)
        return self._without_readers(asked) if others else asked

    def _without_readers(self, asked: Sequence[Asked]) -> Sequence[Asked]:
        """What is left to decide once those who only look were shown their vendors."""
        known = self._memory.vendors
        decidable: list[Asked] = []
        for one in asked:
            if isinstance(one.command, LoadVendors):
                one.command.found = {each: known[each] for each in one.command.vendor_ids if each in known}
                one.answer(NO_VENDOR)  # a reader only waits for the moment
            else:
                decidable.append(one)
        return decidable

    async def _load_others(self, others: Sequence[Asked]) -> set[VendorId]:
        """The vendors of everything that is not a hold; reads the bookings that memory lacks, to know them."""
        bookings = self._memory.bookings
        changes = [one.command for one in others if isinstance(one.command, _CHANGES)]
        unknown = {command.booking_id for command in changes if command.booking_id not in bookings}
        if unknown:
            await self._load_bookings(unknown)
        vendors = {bookings[c.booking_id].vendor_id for c in changes if c.booking_id in bookings}
        for one in others:
            if isinstance(one.command, LoadVendors):
                vendors.update(one.command.vendor_ids)
        return vendors

    async def _load_bookings(self, wanted: set[BookingId]) -> None:
        ids = sorted(wanted)
        found = await patiently(lambda: self._store.load_bookings(ids), self._writer.patience())
        self._writer.away = False
        for booking in found.values():
            self._memory.keep_booking(booking)

    async def _load_vendors(self, wanted: set[VendorId]) -> None:
        ids = sorted(wanted)
        found = await patiently(lambda: self._store.load_vendors(ids), self._writer.patience())
        self._writer.away = False
        for record in found.values():
            self._memory.keep_vendor(record)

    async def _settle_doubts(self, draft: Draft) -> None:
        """Look whether a refused command is the echo of one that succeeded before memory began.

        Only keyed commands and repeated sends can be; everything else was answered from memory alone.
        """
        doubtful = [draft.outcomes[place][0] for place in draft.doubts]
        scopes = [one.scope for one in doubtful if one.scope is not None]
        holds = [one.command.booking_id for one in doubtful if one.again and isinstance(one.command, PlaceHold)]
        patience = self._writer.patience()
        answers = await patiently(lambda: self._store.load_answers(scopes), patience) if scopes else {}
        placed = await patiently(lambda: self._store.load_bookings(holds), patience) if holds else {}
        for place in draft.doubts:
            one, decided = draft.outcomes[place]
            draft.outcomes[place] = (one, _echo(one, decided, answers, placed))
        for answer in answers.values():
            self._memory.keep_answer(answer)

    async def _write(self, draft: Draft) -> WriteEnd:
        clock = asyncio.get_running_loop().time
        started = clock()
        self._lost = draft
        self._memory.about_to_write(draft.overlays)
        end = await self._writer.write(lambda lease, seq: self._store.commit(draft.batch(lease, seq)))
        if end is not WriteEnd.UNKNOWN:
            self._lost = None
        match end:
            case WriteEnd.COMMITTED:
                self._meter.committed(len(draft.events), clock() - started)
            case WriteEnd.REFUSED:
                self._meter.guard_refusals += 1
            case WriteEnd.UNDONE:
                self._meter.outcomes_unknown += 1
            case _:
                pass
        return end

    def _apply(self, draft: Draft) -> None:
        forks = {vendor_id: overlay.state for vendor_id, overlay in draft.overlays.items()}
        self._memory.apply(forks, draft.events, draft.answers)
        self._news.publish(draft.events)

    def _answer(self, draft: Draft) -> None:
        refused = 0
        for one, outcome in draft.outcomes:
            if not isinstance(outcome, Done):
                refused += 1
                self._drop_dead_timer(one)
            one.answer(outcome)
        self._tell_bugs(draft)
        self._meter.decided(refused, len(draft.deferred))
        self._put_off(draft.deferred)
        self._memory.evict()

    def _drop_dead_timer(self, one: Asked) -> None:
        """An expiry that was refused found the booking settled already, or gone: its timer is out of date."""
        if isinstance(one.command, ExpireHold):
            booking = self._memory.bookings.get(one.command.booking_id)
            if booking is None:
                self._memory.holds.drop(one.command.booking_id)
            else:
                self._memory.holds.note(booking)

    def turn_away(self, asked: Sequence[Asked], trouble: Unavailable) -> None:
        """Answer commands of which nothing was done. The shard's own expiries are due again."""
        for one in asked:
            if isinstance(one.command, ExpireHold):
                self._memory.holds.put_back(one.command.booking_id)
            one.answer(trouble)
        self._memory.evict()

    def _tell_bugs(self, draft: Draft) -> None:
        """Nobody repeats an expiry but the shard itself, which lets it rest: at once it would only fail again."""
        for one, error in draft.failures:
            if isinstance(one.command, ExpireHold):
                again_at = self._now() + timedelta(seconds=self._limits.failed_expiry_rest_seconds)
                self._memory.holds.put_back(one.command.booking_id, not_before=again_at)
            one.fail(error)

    def _fail_unknown(self, draft: Draft) -> None:
        self._meter.outcomes_unknown += 1
        for one, outcome in draft.outcomes:
            if isinstance(one.command, ExpireHold):
                self._memory.holds.put_back(one.command.booking_id)
            wrote = isinstance(outcome, Done) and not outcome.replayed
            one.answer(UNKNOWN if wrote else AWAY)
        self._tell_bugs(draft)
        self._put_off(draft.deferred)

    def _forget(self, draft: Draft) -> None:
        for vendor_id in draft.vendor_ids:
            self._memory.forget_vendor(vendor_id)
        for event in draft.events:
            self._memory.bookings.pop(event.booking.booking_id, None)
        for answer in draft.answers:
            self._memory.answers.pop(answer.scope, None)

    async def _read_again(self, draft: Draft, asked: Sequence[Asked]) -> bool:
        """Read words, bookings and keys of the batch anew; False when the database is away."""
        self._forget(draft)
        bookings = {one.command.booking_id for one in asked if isinstance(one.command, (PlaceHold, *_CHANGES))}
        scopes = [one.scope for one in asked if one.scope is not None]
        try:
            await self._load_bookings(bookings)
            await self._load_vendors(set(draft.vendor_ids))
            patience = self._writer.patience()
            answers = await patiently(lambda: self._store.load_answers(scopes), patience) if scopes else {}
        except StoreUnavailable:
            self._writer.away = True
            return False
        for answer in answers.values():
            self._memory.keep_answer(answer)
        return True


def _echo(
    one: Asked, decided: Outcome, answers: Mapping[bytes, Answer], placed: Mapping[BookingId, Booking]
) -> Outcome:
    """The earlier success that a doubtful command repeats, else what was decided."""
    command = one.command
    answer = None if one.scope is None else answers.get(one.scope)
    if answer is not None and isinstance(command, PlaceHold | AmendBooking | SetStatus) and command.once is not None:
        return replay(answer, command.once)
    if isinstance(command, PlaceHold):
        booking = placed.get(command.booking_id)
        if booking is not None and same_hold(booking, command):
            return Done(booking, replayed=True)
    return decided
