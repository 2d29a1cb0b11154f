"""The sweeper: what a crash left between a commit and its telling is found by itself, and events only say *look*."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from consumers import payment_sweeper
from consumers.payment_sweeper import PaymentSweeper
from domain.payment import PAYABLE
from storage.errors import StoreUnavailable
from storage.payment_store import FIRST_BOOKING, FIRST_PLACE
from tests.consumers.paying import HOLD_SECONDS, SWEEP, Paying

KEEP = timedelta(days=30)


class Desk:
    """Full with `room` that nobody has looked at."""

    def __init__(self) -> None:
        self.asked = []
        self.room = 1_000_000

    @property
    def full(self):
        return len(self.asked) >= self.room

    def look_soon(self, booking_id):
        self.asked.append(booking_id)


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def sweeper(paying, desk):
    seconds = SWEEP.total_seconds()
    return PaymentSweeper(paying.store, paying.inbox, desk, paying.clock, every_seconds=seconds, keep=KEEP)


async def looked(paying, desk):
    while desk.asked:
        await paying.looks.look(desk.asked.pop())
    await paying.work()


async def test_a_hold_whose_payment_nobody_made(paying, desk, sweeper):
    held = paying.house.booked("24T19:00")
    assert await sweeper.sweep() == 0  # the service may be about to
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    [charge] = paying.payment(held).charges
    assert charge.state in PAYABLE
    assert charge.checkout_url
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"
    assert await sweeper.sweep() == 0


async def test_an_amended_hold_whose_new_payment_nobody_made(paying, desk, sweeper):
    held = await paying.hold()
    paying.clock.advance(seconds=60)
    paying.house.now = paying.clock()
    paying.house.amend(held, party_size=4)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    assert [payment.amount_minor for payment in paying.payments(held)] == [2000, 4000]
    assert paying.payments(held)[0].payable is None


async def test_old_ones_are_found_by_the_whole_sweep(paying, desk, sweeper, monkeypatch):
    """The first one after a start is whole: the desk may have been away for long."""
    paying.house.booked("24T19:00")
    paying.clock.advance(seconds=300)
    assert await sweeper.sweep() == 1
    assert await sweeper.sweep() == 0
    monkeypatch.setattr(sweeper, "_whole_at", float("-inf"))
    assert await sweeper.sweep() == 1


async def test_an_end_of_which_the_event_was_lost(paying, desk, sweeper):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    paying.house.mark(paying.now(held), "CANCELLED")
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    assert paying.shown(held) == "refunded"


async def test_messages_that_were_handled_long_ago_are_forgotten(paying, sweeper):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    paying.clock.advance(days=29)
    await sweeper.sweep()
    assert len(paying.inbox.letters) == 1
    paying.clock.advance(days=2)
    sweeper._whole_at = float("-inf")
    await sweeper.sweep()
    assert paying.inbox.letters == {}


@pytest.mark.virtual_time
async def test_it_goes_on_where_the_database_was_away(paying, desk, sweeper):
    paying.house.booked("24T19:00")
    paying.clock.advance(seconds=60)
    paying.store.away = True
    task = asyncio.create_task(sweeper.run())
    await asyncio.sleep(1)
    assert sweeper.state.state.startswith("paused: ")
    paying.store.away = False
    await asyncio.sleep(SWEEP.total_seconds())
    assert sweeper.state.state == "reading"
    assert len(desk.asked) == 1
    sweeper.stop()
    await task
    assert sweeper.state.state == "left"


class Slow(StoreUnavailable):
    """As a statement that takes too long."""


async def test_what_changed_lately_is_found_though_the_whole_sweep_fails(paying, desk, sweeper, monkeypatch):
    """Nor do the ends that nobody noticed wait for it, nor what is to be forgotten; and it is not tried at once again."""
    lost = await paying.hold()
    await paying.pay(lost)
    await paying.wait(2 * HOLD_SECONDS)
    paying.house.mark(paying.now(lost), "CANCELLED")
    paying.clock.advance(days=31)
    paying.house.now = paying.clock()
    held = paying.house.booked("24T19:00")
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    without_payment, tried = paying.store.without_payment, []

    async def slow(older_than, bookings_max, *, after=FIRST_PLACE):
        if after == FIRST_PLACE:
            tried.append(1)
            raise Slow
        return await without_payment(older_than, bookings_max, after=after)

    monkeypatch.setattr(paying.store, "without_payment", slow)
    for _ in range(3):
        with suppress(Slow):
            await sweeper.sweep()
    assert len(tried) == 1
    assert set(desk.asked) == {held.booking_id, lost.booking_id}
    assert paying.inbox.letters == {}
    assert sweeper.state.handled == 4


@pytest.fixture
def in_small_pages(monkeypatch):
    monkeypatch.setattr(payment_sweeper, "_PAGE", 2)
    monkeypatch.setattr(payment_sweeper, "_FOUND_MAX", 3)


async def booked(paying, count):
    made = []
    for _ in range(count):
        paying.clock.advance(seconds=1)
        paying.house.now = paying.clock()
        made.append(paying.house.booked("24T19:00").booking_id)
    return made


@pytest.mark.usefixtures("in_small_pages")
async def test_a_whole_sweep_goes_on_where_the_desk_had_enough(paying, desk, sweeper):
    made = await booked(paying, 7)
    paying.clock.advance(seconds=300)
    assert await sweeper.sweep() == 4
    assert desk.asked == made[:4]
    assert await sweeper.sweep() == 3
    assert desk.asked == made
    assert await sweeper.sweep() == 0


@pytest.mark.usefixtures("in_small_pages")
async def test_what_changed_lately_is_found_however_much_it_is(paying, desk, sweeper):
    await booked(paying, 7)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 7


@pytest.mark.usefixtures("in_small_pages")
async def test_a_whole_sweep_goes_on_where_it_broke_off(paying, desk, sweeper, monkeypatch):
    for _ in range(4):  # these lack nothing
        paying.clock.advance(seconds=1)
        paying.house.now = paying.clock()
        await paying.hold()
    lacking = await booked(paying, 1)
    paying.clock.advance(seconds=300)
    without_payment, places = paying.store.without_payment, []

    async def breaking(older_than, bookings_max, *, after=FIRST_PLACE):
        places.append(after)
        if len(places) == 3:
            raise Slow
        return await without_payment(older_than, bookings_max, after=after)

    monkeypatch.setattr(paying.store, "without_payment", breaking)
    with pytest.raises(Slow):
        await sweeper.sweep()
    monkeypatch.setattr(sweeper, "_whole_at", float("-inf"))
    assert await sweeper.sweep() == 1
    assert desk.asked == lacking
    assert places[4] == places[2]


async def left_behind(paying, count):
    """Cancelled, and the event was lost; by their id, as they are walked."""
    made = []
    for _ in range(count):
        held = await paying.hold()
        await paying.pay(held)
        await paying.work()
        paying.house.mark(paying.now(held), "CANCELLED")
        made.append(held.booking_id)
    paying.clock.advance(seconds=60)
    return sorted(made)


@pytest.mark.usefixtures("in_small_pages")
async def test_the_ends_that_nobody_noticed_are_left_to_the_desk_so_many_at_a_time(paying, desk, sweeper, monkeypatch):
    """Meanwhile those without a payment are not walked through again."""
    made = await left_behind(paying, 7)
    without_payment, walks = paying.store.without_payment, []

    async def counted(older_than, bookings_max, *, after=FIRST_PLACE):
        walks.append(after == FIRST_PLACE)
        return await without_payment(older_than, bookings_max, after=after)

    monkeypatch.setattr(paying.store, "without_payment", counted)
    assert await sweeper.sweep() == 4
    assert desk.asked == made[:4]
    assert await sweeper.sweep() == 3
    assert desk.asked == made
    assert await sweeper.sweep() == 0
    assert sum(walks) == 1


@pytest.mark.usefixtures("in_small_pages")
async def test_the_ends_that_nobody_noticed_are_looked_for_where_that_broke_off(paying, desk, sweeper, monkeypatch):
    for _ in range(5):  # these have not ended
        held = await paying.hold()
        await paying.pay(held)
        await paying.work()
    made = await left_behind(paying, 1)
    unnoticed, places = paying.store.unnoticed, []

    async def breaking(older_than, bookings_max, *, after=FIRST_BOOKING):
        places.append(after)
        if len(places) == 2:
            raise Slow
        return await unnoticed(older_than, bookings_max, after=after)

    monkeypatch.setattr(paying.store, "unnoticed", breaking)
    with pytest.raises(Slow):
        await sweeper.sweep()
    for _ in range(2):
        monkeypatch.setattr(sweeper, "_whole_at", float("-inf"))
        await sweeper.sweep()
    assert set(desk.asked) == set(made)
    assert places[2] == places[1] > FIRST_BOOKING
    assert places.count(FIRST_BOOKING) == 2


async def test_what_was_committed_long_after_its_instant_is_found_by_a_look_at_what_changed_lately(
    paying, desk, sweeper
):
    await sweeper.sweep()
    late = paying.house.booked("24T19:00")
    del paying.house.bookings[late.booking_id]
    every = SWEEP.total_seconds()
    for _ in range(3):
        paying.clock.advance(seconds=every)
        await sweeper.sweep()
    paying.house.bookings[late.booking_id] = late
    paying.clock.advance(seconds=9)
    assert await sweeper.sweep() == 1
    assert desk.asked == [late.booking_id]


async def test_what_changed_while_a_sweep_took_long_or_failed_is_found_by_the_next_look_at_what_changed_lately(
    paying, desk, sweeper, monkeypatch
):
    await sweeper.sweep()
    monkeypatch.setattr(sweeper, "_whole_at", float("inf"))
    made = await booked(paying, 2)
    paying.clock.advance(seconds=600)
    paying.store.away = True
    with pytest.raises(StoreUnavailable):
        await sweeper.sweep()
    paying.store.away = False
    paying.clock.advance(seconds=600)
    assert await sweeper.sweep() == 2
    assert desk.asked == made
    paying.clock.advance(seconds=600)
    assert await sweeper.sweep() == 0


def emptied(desk):
    """What it was told of since it was emptied the last time."""
    asked, desk.asked = desk.asked, []
    return asked


@pytest.mark.usefixtures("in_small_pages")
async def test_what_changed_lately_and_the_desk_had_no_room_for_is_found_when_it_has(
    paying, desk, sweeper, monkeypatch
):
    monkeypatch.setattr(sweeper, "_whole_at", float("inf"))
    made = await booked(paying, 7)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    desk.room = 3
    assert await sweeper.sweep() == 4
    paying.clock.advance(seconds=600)
    paying.house.now = paying.clock()
    assert await sweeper.sweep() == 0
    assert emptied(desk) == made[:4]
    late = await booked(paying, 1)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    await sweeper.sweep()
    assert emptied(desk) == [*made[4:], *late]


@pytest.mark.usefixtures("in_small_pages")
async def test_what_was_committed_behind_the_place_where_the_desk_was_full_is_found_lately(
    paying, desk, sweeper, monkeypatch
):
    monkeypatch.setattr(sweeper, "_whole_at", float("inf"))
    made = await booked(paying, 8)
    late = paying.house.bookings.pop(made.pop(1))
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    desk.room = 3
    await sweeper.sweep()
    paying.house.bookings[late.booking_id] = late
    assert emptied(desk) == made[:4]
    paying.clock.advance(seconds=600)
    await sweeper.sweep()
    assert emptied(desk) == made[4:]
    await sweeper.sweep()
    assert late.booking_id in desk.asked


@pytest.mark.usefixtures("in_small_pages")
async def test_where_the_desk_has_little_room_each_kind_has_its_turn(paying, desk, sweeper, monkeypatch):
    ended = await left_behind(paying, 4)
    unpaid = await booked(paying, 20)
    paying.clock.advance(seconds=300)
    desk.room, found = 2, set()
    for _ in range(4):
        monkeypatch.setattr(sweeper, "_whole_at", float("-inf"))
        await sweeper.sweep()
        found.update(emptied(desk))
    assert found == {*ended, *unpaid[:4]}
