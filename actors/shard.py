"""The one writer of a shard's vendors: a mailbox, one batch in flight, memory that only ever holds what is committed.

A plain asyncio class. Ray, HTTP and the clock are somebody else's business: see `shard_host` and `direct_client`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum, auto

from actors.addressing import bucket_of_command
from actors.batch_cycle import BatchCycle
from actors.chores import Chores
from actors.errors import DecisionFailed
from actors.judging import Judging, load_vendors
from actors.limits import ShardLimits
from actors.look_gate import LookGate
from actors.mailbox import Asked, Mailbox
from actors.memory import ShardMemory
from actors.outcome import AWAY, MOVING, NO_VENDOR, OVERLOADED, TOO_MANY_LOOK, UNKNOWN, Outcome, Unavailable
from actors.ownership import Ownership
from actors.patience import Patience, patiently
from actors.reading import BookingReader
from actors.shard_stats import BatchMeter, ShardStats
from actors.vendor_cycle import VendorCycle
from actors.waiting import News, NewsDesk
from actors.writer import Writer
from domain.availability import AvailabilityQuery, FreeSeats, availability_slices
from domain.booking import Booking
from domain.command import Command, CreateVendor, ExpireHold, UpdateVendor
from domain.ids import BookingId, VendorId, bucket_of
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict
from storage.errors import Fenced, StoreUnavailable
from storage.shard_store import Lease, Owner, ShardStore

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 3600.0
_EXPIRY_TICK_SECONDS = 0.5


class Ending(Enum):
    """Why a shard stopped serving."""

    STOPPED = auto()
    """It was asked to."""
    FENCED = auto()
    """Somebody else owns it: leave for good."""
    BROKEN = auto()
    """An invariant did not hold: start afresh from the database."""


class Shard:
    """Serves the vendors of its buckets from `start` until it ends.

    `ask` never raises for a shard or database that is away; it answers `Unavailable`. It raises DecisionFailed for a
    command that hit a bug. `on_end` is called once, from the shard's loop, after every waiting command was answered.
    """

    def __init__(
        self,
        shard_id: int,
        store: ShardStore,
        owner: Owner,
        clock: Callable[[], datetime],
        limits: ShardLimits,
        *,
        on_end: Callable[[Ending], None] | None = None,
    ) -> None:
        self.shard_id = shard_id
        self.owner = owner
        self.news = NewsDesk(limits.settled_news_kept_max)
        self._store = store
        self._clock = clock
        self._limits = limits
        self._on_end = on_end
        self._memory = ShardMemory(limits)
        self._mailbox = Mailbox(limits.mailbox_commands_max)
        self._looks = LookGate(limits)
        self._judging = Judging(self._memory.vendors, self._mailbox, self._looks, self.now, self._refusal_to_read)
        self._meter = BatchMeter()
        self._last_instant = datetime.min.replace(tzinfo=UTC)
        self._in_hand: Sequence[Asked] = ()
        self._stopping = False
        self._broken: BaseException | None = None
        self.ending: Ending | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Take the shard and begin to serve it; False when the directory names somebody else.

        Reads what must be known at once: the buckets, the newest instant written and the live holds. Vendors come when
        they are touched. Raises StoreUnavailable when the database stays away.
        """
        patience = Patience(self._limits)
        lease = await patiently(lambda: self._store.take(self.shard_id, self.owner), patience)
        if lease is None:
            return False
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self._store, lease, self._limits)
        self._first_epoch = lease.epoch
        self._ownership = Ownership(
            self._store, self._writer, self._memory.holds, self._limits, gained=self._mailbox.wake
        )
        newest = await patiently(lambda: self._store.last_instant(self.shard_id), patience)
        if newest is not None:
            self._last_instant = newest
        await patiently(self._ownership.learn_buckets, patience)
        self._reader = BookingReader(self._store)
        self._batches = BatchCycle(
            self._store,
            self._writer,
            self._memory,
            self._limits,
            news=self.news,
            meter=self._meter,
            now=self.now,
            put_off=self._mailbox.put_first,
        )
        self._vendors = VendorCycle(self._store, self._writer, self._memory, self._limits, self.now)
        self._chores = Chores(
            self._store,
            self._ownership,
            self._memory,
            self._mailbox,
            self._limits,
            now=self.now,
            broken=self._break,
        )
        self._running = self._loop.create_task(self._run(), name=f"shard-{self.shard_id}")
        self._chores.start()
        return True

    async def stop(self) -> None:
        """Take no more commands, answer those that wait, and let go of the database. May be called again."""
        self._stopping = True
        running = self._running
        if running is not None and not running.done():
            self._mailbox.wake()
            _, pending = await asyncio.wait([running], timeout=self._limits.stop_seconds)
            if pending:
                self._answer_all(UNKNOWN)
                running.cancel()
                await asyncio.wait([running])
        await self._store.close()

    @property
    def serving(self) -> bool:
        return self._running is not None and not self._stopping and self.ending is None

    @property
    def lease(self) -> Lease:
        """The right to write as it is now; its epoch grows when an outcome had to be cleared up."""
        return self._writer.lease

    def has(self, bucket: int) -> bool:
        """Whether the shard serves the bucket, as far as it knows."""
        return self.serving and bucket in self._ownership.buckets

    def now(self) -> datetime:
        """The shard's time: the clock's, but never before an instant that this shard has seen or written."""
        instant = self._clock()
        self._last_instant = max(self._last_instant, instant)
        return self._last_instant

    async def ask(self, command: Command, *, again: bool = False) -> Outcome:
        """Decide, commit and answer. `again` says that an earlier send may have been carried out."""
        if not self.serving:
            return MOVING
        bucket = bucket_of_command(command)
        if bucket not in self._ownership.buckets and not await self._ownership.owns(bucket):
            return MOVING
        if self._mailbox.full:
            return OVERLOADED
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._mailbox.put(Asked(command, future, again=again))
        return await future

    async def ask_batch(self, commands: Sequence[tuple[Command, bool]]) -> list[Outcome | DecisionFailed]:
        """Many commands of one caller, each with its `again`, each answered on its own, in the given order."""
        waiting: list[asyncio.Future[Outcome] | Outcome] = []
        for command, again in commands:
            bucket = bucket_of_command(command)
            if not self.serving or (bucket not in self._ownership.buckets and not await self._ownership.owns(bucket)):
                waiting.append(MOVING)
            elif self._mailbox.full:
                waiting.append(OVERLOADED)
            else:
                future: asyncio.Future[Outcome] = self._loop.create_future()
                self._mailbox.put(Asked(command, future, again=again))
                waiting.append(future)
        answers: list[Outcome | DecisionFailed] = []
        for one in waiting:
            try:
                answers.append(await one if isinstance(one, asyncio.Future) else one)
            except DecisionFailed as error:
                answers.append(error)
        return answers

    async def booking(self, booking_id: BookingId) -> Booking | Unavailable | None:
        """The booking as last committed, from memory while the lease is fresh, else from the database."""
        refusal = await self._refusal_to_read(bucket_of(booking_id))
        if refusal is not None:
            return refusal
        known = self._memory.bookings.get(booking_id)
        if known is not None:
            return known
        try:
            return await self._reader.read(booking_id)
        except StoreUnavailable:
            return AWAY

    async def availability(
        self, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable:
        """What is free, from committed memory. A vendor that memory does not know is loaded between two batches."""
        refusal = await self._refusal_to_read(bucket_of(vendor_id))
        if refusal is not None:
            return refusal
        state = self._memory.vendors.get(vendor_id)
        if state is None:
            loaded = await load_vendors(self._mailbox, [vendor_id])
            if isinstance(loaded, Unavailable):
                return loaded
            state = loaded.get(vendor_id)
        if state is None:
            return NO_VENDOR
        # Batches go on between two slices. What they merge into this state shows in the slices that follow, and each
        # slice by itself is what was committed at one moment. An update puts a new state in the memory's place and
        # leaves this one as it is: its facts and its columns still fit each other, and the answer is that of before.
        slices = availability_slices(state, query, now=self.now())
        if isinstance(slices, Rejection):
            return slices
        rows: list[FreeSeats] = []
        async with self._looks.turn() as admitted:
            if not admitted:
                return TOO_MANY_LOOK
            for some in slices:
                rows += some
                await asyncio.sleep(0)
        return rows

    async def judge(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> list[Verdict] | Unavailable:
        """Which of the vendors could take the party, from committed memory; unknown ones are absent.

        Batches go on between a few vendors and the next: each verdict by itself is what was committed at one moment.
        """
        return await self._judging.verdicts(vendor_ids, wish)

    async def settled_since(self, epoch: int | None, position: int | None, wait_seconds: float) -> News | Unavailable:
        """The bookings that left BLOCKED after a position, waiting for the next at most `wait_seconds`.

        `epoch` and `position` are those of the last answer, None at first; a position of another epoch is a gap.
        """
        if not self.serving:
            return MOVING
        known = position if epoch in (None, self._first_epoch) else None
        news = await self.news.since(self._first_epoch, known, wait_seconds if known == position else 0.0)
        if known != position:
            return News(news.epoch, news.position, gap=True, bookings=())
        return news if self.serving else MOVING

    def stats(self) -> ShardStats:
        """A snapshot, cheap enough to be asked every second."""
        mean, largest = self._meter.batch_size()
        return ShardStats(
            shard_id=self.shard_id,
            epoch=self._writer.lease.epoch,
            actor_id=self.owner.actor_id,
            node=self.owner.node,
            pid=self.owner.pid,
            serving=self.serving and not self._writer.unresolved,
            buckets=len(self._ownership.buckets),
            vendors_loaded=len(self._memory.vendors),
            vendor_bytes=self._memory.vendor_bytes,
            bookings_in_memory=len(self._memory.bookings),
            live_holds=len(self._memory.holds),
            queue=len(self._mailbox),
            batches=self._meter.batches,
            bookings_written=self._meter.bookings_written,
            commands_refused=self._meter.commands_refused,
            commands_put_off=self._meter.commands_put_off,
            guard_refusals=self._meter.guard_refusals,
            outcomes_unknown=self._meter.outcomes_unknown,
            batch_size_mean=round(mean, 2),
            batch_size_max=largest,
            commit_p50_ms=self._meter.commit_ms(50),
            commit_p99_ms=self._meter.commit_ms(99),
        )

    async def _refusal_to_read(self, bucket: int) -> Unavailable | None:
        if not self.serving:
            return MOVING
        try:
            if not await self._ownership.proved():
                self._mailbox.wake()
                return MOVING
        except StoreUnavailable:
            return AWAY
        if bucket not in self._ownership.buckets and not await self._ownership.owns(bucket):
            return MOVING
        return None

    async def _run(self) -> None:
        ending = Ending.STOPPED
        try:
            await self._serve()
        except Fenced:
            # Only ever raised when nothing of the batch in hand was written.
            ending = Ending.FENCED
            _log.warning("shard %d: fenced, leaving", self.shard_id)
        except Exception:  # noqa: BLE001 - a broken invariant of any kind ends the shard
            ending = Ending.BROKEN
            _log.exception("shard %d: an invariant broke, leaving: %s", self.shard_id, self.stats())
        finally:
            self._end(ending)

    async def _serve(self) -> None:
        while True:
            await self._mailbox.wait(self._idle_seconds())
            if self._broken is not None:
                raise RuntimeError("a chore of the shard failed") from self._broken
            if self._writer.fenced:
                raise Fenced(f"shard {self.shard_id}")
            if self._writer.unresolved and not await self._batches.recover():
                self._batches.turn_away(self._mailbox.take_all(), AWAY)
                if self._stopping:
                    return
                await asyncio.sleep(self._limits.retry_last_seconds)
                continue
            due = self._due_expiries()
            asked = self._mailbox.take(self._limits.batch_commands_max)
            if not due and not asked and self._stopping:
                return
            await self._perform(due, asked)

    async def _perform(self, due: list[Asked], asked: list[Asked]) -> None:
        """Expiries go before everything queued: a slot is never refused for a hold that is already dead."""
        self._in_hand = [*due, *asked]
        command = asked[0].command if asked else None
        if isinstance(command, CreateVendor | UpdateVendor):
            if due:
                await self._batches.perform(due)
            if self._writer.unresolved:
                asked[0].answer(AWAY)
            else:
                await self._vendors.perform(asked[0], command)
        elif self._in_hand:
            await self._batches.perform(self._in_hand)
        self._in_hand = ()

    def _due_expiries(self) -> list[Asked]:
        due = self._memory.holds.take_due(self.now(), self._limits.batch_commands_max)
        return [Asked(ExpireHold(booking_id), None) for booking_id in due]

    def _idle_seconds(self) -> float:
        """Until the next hold dies. Looks again and again, because the wall clock may jump while the timer does not."""
        if self._stopping or self._writer.fenced or self._writer.unresolved or self._broken is not None:
            return 0.0
        expiry = self._memory.holds.next_expiry()
        if expiry is None:
            return _IDLE_SECONDS
        seconds = min((expiry - self.now()).total_seconds(), _EXPIRY_TICK_SECONDS)
        return max(seconds, self._limits.retry_last_seconds) if self._writer.away else seconds

    def _break(self, error: BaseException) -> None:
        self._broken = error
        self._mailbox.wake()

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self._chores.stop()
        # A broken shard may have died between its commit and its answers.
        self._answer_all(UNKNOWN if ending is Ending.BROKEN else MOVING)
        self.news.wake()
        if self._on_end is not None:
            self._on_end(ending)

    def _answer_all(self, in_hand: Unavailable) -> None:
        for one in self._in_hand:
            one.answer(in_hand)
        for one in self._mailbox.take_all():
            one.answer(MOVING)
