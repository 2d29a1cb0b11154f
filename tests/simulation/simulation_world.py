"""A small cluster in virtual time: shards that crash, sleep and are replaced, over a database that loses replies.

Everything random comes from one seed, so a failing run is run again by its number.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from random import Random

from fakes.memory_store import Fault, MemoryDatabase, MemoryShardStore
from fakes.virtual_time import Clock

from actors.limits import ShardLimits
from actors.outcome import Outcome
from actors.shard import Ending, Shard
from domain.booking import Booking, BookingStatus
from domain.command import Command
from domain.event import VendorCreated, VendorUpdated
from domain.evolve import word_changes
from domain.ids import BookingId, bucket_of
from storage.errors import StoreUnavailable
from storage.shard_store import Batch, Owner

LIMITS = ShardLimits(
    batch_commands_max=16,
    patience_seconds=2.0,
    settle_every_seconds=20.0,
    bookings_kept_max=20,
    answers_kept_max=20,
    vendor_bytes_max=40_000,
    stop_seconds=3.0,
)


class Lost(Exception):
    """The caller never heard what became of its command."""


class Untruth(AssertionError):
    """Somebody was told what is not so, or something that was promised did not hold."""


@dataclass(frozen=True)
class Weather:
    """How bad this run is, chosen by the seed: some runs are nearly calm, some have one plague, some have all."""

    fault: float
    slow: float
    reply_lost: float
    doubled: float
    crash_every: float
    sleep_every: float
    jump_every: float
    outage_every: float
    move_every: float
    shards: int

    @classmethod
    def of(cls, rng: Random) -> "Weather":
        def sometimes(*values: float) -> float:
            return rng.choice((0.0, *values))

        return cls(
            fault=sometimes(0.01, 0.05, 0.2),
            slow=sometimes(0.1, 0.5),
            reply_lost=sometimes(0.02, 0.1, 0.3),
            doubled=sometimes(0.05, 0.3),
            crash_every=sometimes(3.0, 15.0),
            sleep_every=sometimes(10.0, 30.0),
            jump_every=sometimes(5.0, 30.0),
            outage_every=sometimes(10.0, 40.0),
            move_every=sometimes(20.0),
            shards=rng.choice((1, 1, 2)),
        )


class ProcessStore(MemoryShardStore):
    """The database as one process sees it: a stopped process does nothing, a dead one nothing ever again."""

    def __init__(self, world: "World", host: "Host") -> None:
        super().__init__(world.database, world.fault_at, late_seconds=world.rng.uniform(0.01, 2.0))
        self._world = world
        self._host = host

    async def commit(self, batch: Batch) -> None:
        self._world.check_batch(batch)
        await super().commit(batch)

    async def _fault(self, step: str) -> Fault | None:
        await self._host.awake()
        fault = await super()._fault(step)
        await self._host.awake()
        return fault


class Host:
    """A process with a shard in it."""

    def __init__(self, world: "World", shard_id: int, actor_id: str) -> None:
        self.world = world
        self.shard_id = shard_id
        self.actor_id = actor_id
        self.alive = True
        self.ended: Ending | None = None
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.Event()
        self._running.set()
        self.store = ProcessStore(world, self)
        owner = Owner(actor_id, "node", 1)
        self.shard = Shard(shard_id, self.store, owner, world.clock, LIMITS, on_end=self._on_end)

    async def awake(self) -> None:
        if not self.alive:
            await asyncio.get_running_loop().create_future()
        await self._running.wait()

    def stop(self) -> None:
        self._running.clear()

    def wake(self) -> None:
        self._running.set()

    def crash(self) -> None:
        """The process is gone between two steps; what it had sent to the database may still arrive."""
        self.alive = False
        if not self.died.done():
            self.died.set_result(None)
        self._running.set()
        self.world.graves.append(self)

    def bury(self) -> None:
        if self.shard._running is not None:
            self.shard._on_end = None
            self.shard._running.cancel()

    def _on_end(self, ending: Ending) -> None:
        self.ended = ending
        if ending is Ending.BROKEN:
            self.world.untruths.append(f"shard {self.shard_id} broke an invariant")


@dataclass
class World:
    seed: int
    rng: Random = field(init=False)
    weather: Weather = field(init=False)
    database: MemoryDatabase = field(default_factory=MemoryDatabase)
    clock: Clock = field(default_factory=Clock)
    owners: dict[int, Host] = field(default_factory=dict)
    zombies: list[Host] = field(default_factory=list)
    graves: list[Host] = field(default_factory=list)
    untruths: list[str] = field(default_factory=list)
    calm: bool = False
    away_until: float = 0.0
    births: int = 0
    rows_read: int = 0
    acknowledged: dict[BookingId, int] = field(default_factory=dict)
    known_forms: dict[BookingId, list[Booking]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.weather = Weather.of(self.rng)
        self.database.seed(self.weather.shards)

    def fault_at(self, step: str) -> Fault | float | None:
        if self.calm:
            return None
        if asyncio.get_running_loop().time() < self.away_until:
            return Fault.UNAVAILABLE
        rng = self.rng
        if step.endswith("replied"):
            return rng.uniform(0.0, 1.0) if rng.random() < self.weather.slow / 4 else None
        if rng.random() < self.weather.fault:
            return rng.choice((Fault.UNAVAILABLE, Fault.LOST_UNDONE, Fault.LOST_DONE, Fault.LOST_LATE))
        if rng.random() < self.weather.slow:
            return rng.uniform(0.0, 0.3)
        return None

    # --- processes

    async def give_owner(self, shard_id: int, actor_id: str | None = None) -> Host | None:
        """Name an actor and start it; None when the database would not have it just now."""
        if actor_id is None:
            self.births += 1
            actor_id = f"actor-{self.births}"
            self.database.claim(shard_id, actor_id)
        host = Host(self, shard_id, actor_id)
        try:
            if await host.shard.start():
                self.owners[shard_id] = host
                return host
        except StoreUnavailable:
            pass
        host.crash()
        return None

    async def supervise(self) -> None:
        """Whatever has no living owner gets one, a moment later."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 1.5))
            for shard_id in range(self.weather.shards):
                host = self.owners.get(shard_id)
                if host is None or not host.alive or host.ended is not None:
                    same = host.actor_id if host is not None and not host.alive and self.rng.random() < 0.5 else None
                    if same is not None and self.database.shards[shard_id].actor_id != same:
                        same = None
                    await self.give_owner(shard_id, same)

    async def crashes(self) -> None:
        while True:
            await self._every(self.weather.crash_every)
            host = self._some_owner()
            if host is not None and host.alive:
                self.check_memory(host)
                host.crash()

    async def sleeps(self) -> None:
        """An owner is stopped, a successor takes over after the silence, and the sleeper wakes among the living."""
        while True:
            await self._every(self.weather.sleep_every)
            sleeper = self._some_owner()
            if sleeper is None or not sleeper.alive:
                continue
            sleeper.stop()
            await asyncio.sleep(self.rng.uniform(LIMITS.lease_trust_seconds, 6.0))
            if self.owners.get(sleeper.shard_id) is sleeper and self.rng.random() < 0.8:
                await self.give_owner(sleeper.shard_id)
                self.zombies.append(sleeper)
                await asyncio.sleep(self.rng.uniform(0.0, 3.0))
            sleeper.wake()
            await self._ask_the_sleeper(sleeper)

    async def _ask_the_sleeper(self, sleeper: Host) -> None:
        """Whoever has just woken still remembers what has changed since, and must not say it."""
        memory = sleeper.shard._memory.bookings
        newer = [(one, version) for one, version in self.acknowledged.items() if one in memory]
        for booking_id, version in newer:
            if memory[booking_id].version < version:
                found = await sleeper.shard.booking(booking_id)
                if isinstance(found, Booking) and found.version < version:
                    self.untruths.append(f"a sleeper woke and read booking {booking_id} from its old memory")
                return

    async def jumps(self) -> None:
        while True:
            await self._every(self.weather.jump_every)
            self.clock.jump(timedelta(seconds=self.rng.choice((-3600, -30, -1, 1, 30, 120, 3600))))

    async def outages(self) -> None:
        while True:
            await self._every(self.weather.outage_every)
            self.away_until = asyncio.get_running_loop().time() + self.rng.uniform(0.1, 6.0)

    async def moves(self) -> None:
        while True:
            await self._every(self.weather.move_every)
            self.database.move_bucket(self.rng.randrange(4), self.rng.randrange(self.weather.shards))

    async def _every(self, seconds: float) -> None:
        if not seconds:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self.rng.expovariate(1 / seconds))

    def _some_owner(self) -> Host | None:
        return self.owners.get(self.rng.randrange(self.weather.shards))

    # --- the network

    def _host_for(self, an_id: BookingId) -> Host | None:
        shard_id = self.database.bucket_shard[bucket_of(an_id)]
        awake = [zombie for zombie in self.zombies if zombie.alive]
        if awake and not self.calm and self.rng.random() < 0.2:
            return self.rng.choice(awake)
        return self.owners.get(shard_id)

    async def send(self, an_id: BookingId, command: Command, *, again: bool) -> Outcome:
        """Raises Lost. Messages overtake each other, and either way may be lost."""
        await self._travel()
        host = self._host_for(an_id)
        if host is None or not host.alive:
            raise Lost
        await host.awake()
        asked = asyncio.ensure_future(host.shard.ask(command, again=again))
        await asyncio.wait({asked, host.died}, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done() or not host.alive:
            asked.cancel()
            raise Lost
        outcome = asked.result()
        await host.awake()
        if not self.calm and self.rng.random() < self.weather.reply_lost:
            raise Lost
        await self._travel()
        return outcome

    async def read(self, booking_id: BookingId) -> Booking | None:
        """Raises Lost when nobody could say."""
        await self._travel()
        host = self._host_for(booking_id)
        if host is None or not host.alive:
            raise Lost
        await host.awake()
        reading = asyncio.ensure_future(host.shard.booking(booking_id))
        await asyncio.wait({reading, host.died}, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done() or not host.alive:
            reading.cancel()
            raise Lost
        found = reading.result()
        if found is None or isinstance(found, Booking):
            return found
        raise Lost

    async def _travel(self) -> None:
        await asyncio.sleep(self.rng.expovariate(1 / 0.02))

    # --- what must hold at any time

    def forms(self, booking_id: BookingId) -> list[Booking]:
        """Every form that the booking ever had, by the outbox."""
        for row in islice(self.database.outbox.values(), self.rows_read, None):
            self.rows_read += 1
            for event in row.events:
                if not isinstance(event, VendorCreated | VendorUpdated):
                    self.known_forms.setdefault(event.booking.booking_id, []).append(event.booking)
        return self.known_forms.get(booking_id, [])

    def check_batch(self, batch: Batch) -> None:
        """A bit and a booking change at most once in a batch."""
        seen: dict[tuple[int, int, int], int] = {}
        ids = [event.booking.booking_id for event in batch.events]
        if len(set(ids)) != len(ids):
            self.untruths.append("a booking changed twice in one batch")
        scopes = [answer.scope for answer in batch.answers]
        if len(set(scopes)) != len(scopes):
            self.untruths.append("a key was answered twice in one batch")
        for event in batch.events:
            for seat_no, word, clear, set_ in word_changes(event):
                key = (event.booking.vendor_id.int, seat_no, word)
                if seen.get(key, 0) & (clear | set_):
                    self.untruths.append("a bit changed twice in one batch")
                seen[key] = seen.get(key, 0) | clear | set_

    def check_memory(self, host: Host) -> None:
        """Between batches, the owner's memory is what the database holds."""
        shard = host.shard
        if shard._in_hand or shard._writer.unresolved or host.ended is not None:
            return
        if self.database.shards[host.shard_id].epoch != shard.lease.epoch:
            return
        for vendor_id, state in shard._memory.vendors.items():
            record = self.database.record_of(vendor_id)
            words = {(seat_no, word): mask for seat_no, word, mask in record.words}
            held = {
                (seat_no, word): mask
                for word, column in state.columns.items()
                for seat_no, mask in zip(state.facts.plan.seat_nos, column, strict=True)
                if mask
            }
            if words != held:
                self.untruths.append(f"memory of vendor {vendor_id} is not what the database holds")
        for booking in shard._memory.bookings.values():
            if self.database.bookings.get(booking.booking_id) != booking:
                self.untruths.append(f"memory of booking {booking.booking_id} is not what the database holds")
        for scope, answer in shard._memory.answers.items():
            if self.database.answers.get(scope) != answer:
                self.untruths.append("memory of an answer is not what the database holds")
        owned = [b for b in self.database.bookings.values() if bucket_of(b.booking_id) in shard._ownership.buckets]
        blocked = {b.booking_id for b in owned if b.status is BookingStatus.BLOCKED}
        if blocked - set(shard._memory.holds._alive):
            self.untruths.append("a live hold has no timer")

    def check_history(self) -> None:
        """The outbox tells one story for each booking, in order, under epochs that only grow, in time that only grows."""
        versions: dict[BookingId, Booking] = {}
        newest: dict[int, tuple[int, object]] = {}
        for row in self.database.outbox.values():
            events = [event for event in row.events if not isinstance(event, VendorCreated | VendorUpdated)]
            instants = [event.booking.updated_at for event in events]
            epoch, instant = newest.get(row.shard_id, (0, None))
            if row.epoch < epoch:
                self.untruths.append(f"epoch {row.epoch} wrote after epoch {epoch}")
            if instants and instant is not None and min(instants) < instant:
                self.untruths.append("time went backwards inside a shard")
            newest[row.shard_id] = (row.epoch, max([*instants, *([instant] if instant else [])], default=None))
            for event in events:
                if versions.get(event.booking.booking_id) != event.before:
                    self.untruths.append(f"booking {event.booking.booking_id} changed from what it was not")
                versions[event.booking.booking_id] = event.booking
        if versions != self.database.bookings:
            self.untruths.append("the outbox and the bookings tell different stories")
