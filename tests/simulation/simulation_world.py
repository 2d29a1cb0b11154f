"""A small cluster in virtual time: shards that crash, sleep and are replaced, over a database that loses replies.

Everything random comes from one seed, so a failing run is run again by its number.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from random import Random

from actors.limits import ShardLimits
from actors.outcome import Outcome
from actors.shard import Ending, Shard
from domain.booking import Booking
from domain.command import Command
from domain.event import VendorCreated, VendorUpdated
from domain.ids import BookingId, bucket_of
from domain.vendor_state import VendorState
from storage.errors import StoreUnavailable
from storage.shard_store import Batch, Owner
from tests.fakes.memory_store import Fault, MemoryDatabase, MemoryShardStore
from tests.fakes.virtual_time import Clock
from tests.simulation.simulation_truths import batch_untruths, memory_untruths

LIMITS = ShardLimits(
    batch_commands_max=16,
    patience_seconds=2.0,
    settle_every_seconds=20.0,
    settle_bookings_max=3,
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
    forget_every: float
    shards: int
    batch_words_max: int

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
            forget_every=sometimes(2.0, 10.0),
            shards=rng.choice((1, 1, 2)),
            batch_words_max=rng.choice((1, 4, 2048)),
        )


class ProcessStore(MemoryShardStore):
    """The database as one process sees it: a stopped process does nothing, a dead one nothing ever again."""

    def __init__(self, world: "World", host: "Host") -> None:
        super().__init__(world.database, world.fault_at, late_seconds=world.rng.uniform(0.01, 2.0))
        self._world = world
        self._host = host

    async def commit(self, batch: Batch) -> None:
        self._world.untruths += batch_untruths(batch)
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
        limits = replace(LIMITS, batch_words_max=world.weather.batch_words_max)
        self.shard = Shard(shard_id, self.store, owner, world.clock, limits, on_end=self._on_end)

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
    spoilt: list[VendorState] = field(default_factory=list)
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
            fault = rng.choice((Fault.UNAVAILABLE, Fault.LOST_UNDONE, Fault.LOST_DONE, Fault.LOST_LATE))
            if fault is not Fault.UNAVAILABLE and rng.random() < 0.2:
                # The reply was lost because the database went down, so the truth cannot be had for a while either.
                self.away_until = asyncio.get_running_loop().time() + rng.uniform(0.5, 5.0)
            return fault
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
                self.look_into(host)
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

    async def forgetfulness(self) -> None:
        """A bug in memory: all that is taken of a vendor is forgotten. The database alone must stop the second sale."""
        while True:
            await self._every(self.weather.forget_every)
            host = self._some_owner()
            if host is not None and host.shard._memory.vendors:
                state = self.rng.choice(list(host.shard._memory.vendors.values()))
                state.columns.clear()
                self.spoilt.append(state)

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

    def look_into(self, host: Host) -> None:
        """Between batches, an owner's memory is what the database holds."""
        shard = host.shard
        if shard._in_hand or shard._writer.unresolved or host.ended is not None:
            return
        if self.database.shards[host.shard_id].epoch == shard.lease.epoch:
            self.untruths += memory_untruths(shard, self.database, self.spoilt)

    def forms(self, booking_id: BookingId) -> list[Booking]:
        """Every form that the booking ever had, by the outbox."""
        for row in islice(self.database.outbox.values(), self.rows_read, None):
            self.rows_read += 1
            for event in row.events:
                if not isinstance(event, VendorCreated | VendorUpdated):
                    self.known_forms.setdefault(event.booking.booking_id, []).append(event.booking)
        return self.known_forms.get(booking_id, [])
