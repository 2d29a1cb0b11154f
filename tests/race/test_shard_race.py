"""The whole engine against real Postgres: shards that share no memory, and a memory that is wrong on purpose."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from actors.limits import ShardLimits
from actors.outcome import Done, Unavailable
from actors.shard import Shard
from domain.booking import Booking, BookingStatus
from domain.ids import seat_id_of
from domain.rejection import Reason, Rejection
from domain.vendor_state import VendorState
from storage.shard_store import Owner
from tests.fakes.houses import EVENING, guest, hold, opening, restaurant, vendor_id
from tests.race.race_conditions import NO_FENCE, NO_GUARD

V, W = vendor_id(1), vendor_id(2)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
WORDS = "SELECT word, mask FROM seat_word WHERE seat_id = $1 ORDER BY word"
LIMITS = ShardLimits(sweep_vendors=1)


def clock():
    return NOW


class House:
    """Shards over one database; each new one has a memory of its own."""

    def __init__(self, ground):
        self.ground = ground
        self.shards = []

    async def shard(self, *spoilt):
        """Another owner. With a spoilt fence the ones before it go on writing."""
        owner = Owner(f"actor-{len(self.shards)}", "node", 100 + len(self.shards))
        await self.ground.directory.claim(0, owner.actor_id)
        shard = Shard(0, self.ground.store(*spoilt), owner, clock, LIMITS)
        assert await shard.start()
        self.shards.append(shard)
        return shard


@pytest.fixture
async def house(ground):
    made = House(ground)
    yield made
    for shard in made.shards:
        await shard.stop()


async def open_vendor(shard, of=V, tables=1):
    await shard.ask(opening(restaurant(of, tables=tables)))


def taken(outcomes):
    return [outcome.booking for outcome in outcomes if isinstance(outcome, Done)]


async def test_with_guard_and_single_writer_off_two_guests_get_one_seat(house, ground):
    """Negative control: two owners at once, each with its own memory, and a statement that believes them."""
    one = await house.shard(NO_FENCE, NO_GUARD)
    await open_vendor(one)
    two = await house.shard(NO_FENCE, NO_GUARD)
    for shard in (one, two):  # both look before either books
        await shard.ask(hold(V, by=guest(9), at=EVENING + timedelta(days=1), party=99))
    sold = taken(await asyncio.gather(one.ask(hold(V, by=guest(1))), two.ask(hold(V, by=guest(2)))))
    assert len(sold) == 2
    assert (await ground.faults())["seat-slots are held by one booking only"] > 0


async def test_with_the_guard_on_two_owners_sell_one_seat_once(house, ground):
    """The fence is still off: what stops the second owner is the row lock on the word, and it learns from it."""
    one = await house.shard(NO_FENCE)
    await open_vendor(one)
    two = await house.shard(NO_FENCE)
    for shard in (one, two):
        await shard.ask(hold(V, by=guest(9), at=EVENING + timedelta(days=1), party=99))
    outcomes = await asyncio.gather(one.ask(hold(V, by=guest(1))), two.ask(hold(V, by=guest(2))))
    assert len(taken(outcomes)) == 1
    [refused] = [outcome for outcome in outcomes if not isinstance(outcome, Done)]
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.NO_AVAILABILITY
    assert await ground.faults() == {}


async def test_with_the_fence_on_the_older_owner_leaves(house, ground):
    one = await house.shard()
    await open_vendor(one)
    two = await house.shard()
    outcomes = await asyncio.gather(one.ask(hold(V, by=guest(1))), two.ask(hold(V, by=guest(2))))
    assert isinstance(outcomes[0], Unavailable)
    assert isinstance(outcomes[1], Done)
    assert await ground.faults() == {}


@pytest.mark.parametrize("round_number", range(10))
async def test_500_tries_by_64_clients_on_40_seats_sell_exactly_40(house, ground, round_number):
    shard = await house.shard()
    await open_vendor(shard, tables=40)
    tries = count()
    outcomes = []

    async def client(number):
        while next(tries) < 500:
            outcomes.append(await shard.ask(hold(V, by=guest(number))))

    await asyncio.gather(*(client(number) for number in range(64)))
    sold = taken(outcomes)
    assert len(outcomes) == 500
    assert len(sold) == 40
    assert len({booking.seats[0].seat_no for booking in sold}) == 40
    assert {o.reason for o in outcomes if isinstance(o, Rejection)} == {Reason.NO_AVAILABILITY}
    assert await ground.faults() == {}


async def test_a_forgotten_bit_stops_at_postgres_and_the_innocent_go_through(house, ground):
    shard = await house.shard()
    await open_vendor(shard, V)
    await open_vendor(shard, W, tables=20)
    assert isinstance(await shard.ask(hold(V)), Done)
    await shard.ask(hold(W))
    state = shard._memory.vendors[V]
    for column in state.columns.values():
        column[0] = 0  # memory now says that the table is free
    outcomes = await asyncio.gather(
        shard.ask(hold(W, by=guest(2))), shard.ask(hold(V, by=guest(3))), shard.ask(hold(W, by=guest(4)))
    )
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[2], Done)
    assert isinstance(outcomes[1], Rejection)
    assert outcomes[1].reason is Reason.NO_AVAILABILITY
    assert shard.stats().guard_refusals >= 1
    assert await ground.faults() == {}


async def test_one_bit_given_to_two_holds_of_one_batch_stops_at_postgres(house, ground, monkeypatch):
    """Memory forgets what a batch has just taken, twice over: in the overlay, and in the draft's own list."""
    from actors.draft import Overlay

    shard = await house.shard()
    await open_vendor(shard, V)
    await open_vendor(shard, W, tables=20)
    await asyncio.gather(shard.ask(hold(V, at=EVENING - timedelta(days=1))), shard.ask(hold(W)))  # load both
    change_word = VendorState.change_word

    def forgetful(self, position, word, clear, set_):
        if self.vendor_id != V:
            change_word(self, position, word, clear, set_)

    monkeypatch.setattr(VendorState, "change_word", forgetful)
    monkeypatch.setattr(Overlay, "disjoint", lambda self, changes: True)
    outcomes = await asyncio.gather(
        *(shard.ask(hold(V, by=guest(n))) for n in (1, 2)), *(shard.ask(hold(W, by=guest(n))) for n in (3, 4, 5))
    )
    assert len(taken(outcomes[:2])) <= 1
    assert len(taken(outcomes[2:])) == 3
    assert shard.stats().guard_refusals >= 1
    assert await ground.faults() == {}


async def test_a_booking_of_two_words_of_which_one_is_taken_leaves_no_word_half(house, ground, admin):
    """A sitting that crosses from one word into the next, where memory does not know that the second is taken."""
    shard = await house.shard()
    await open_vendor(shard, V)
    await open_vendor(shard, W, tables=20)
    await asyncio.gather(shard.ask(hold(V, at=EVENING - timedelta(days=1))), shard.ask(hold(W)))  # load both
    state = shard._memory.vendors[V]
    step = state.step_minutes
    edge = next(  # the first slot of a word, at an hour when one can sit down half an hour before it
        slot
        for slot in range(int(EVENING.timestamp()) // 60 // step & ~63, 1 << 30, 64)
        if 13 <= datetime.fromtimestamp(slot * step * 60, UTC).hour < 22
    )
    at_edge = datetime.fromtimestamp(edge * step * 60, UTC)
    assert isinstance(await shard.ask(hold(V, by=guest(1), at=at_edge)), Done)
    before = await admin.fetch(WORDS, seat_id_of(V, 1))
    state.columns[edge >> 6][0] = 0
    outcomes = await asyncio.gather(
        shard.ask(hold(V, by=guest(2), at=at_edge - timedelta(minutes=30))), shard.ask(hold(W, by=guest(3)))
    )
    assert isinstance(outcomes[0], Rejection)
    assert isinstance(outcomes[1], Done)
    assert shard.stats().guard_refusals >= 1
    assert await admin.fetch(WORDS, seat_id_of(V, 1)) == before
    assert await ground.faults() == {}


async def test_what_is_sold_is_what_a_fresh_owner_finds(house, ground):
    one = await house.shard()
    await open_vendor(one, tables=5)
    sold = taken(await asyncio.gather(*(one.ask(hold(V, by=guest(n))) for n in range(8))))
    two = await house.shard()
    assert isinstance(await two.ask(hold(V, by=guest(50))), Rejection)
    for mine in sold:
        found = await two.booking(mine.booking_id)
        assert isinstance(found, Booking)
        assert found == mine
        assert found.status is BookingStatus.CONFIRMED
