"""The queue of a shard: who gets a place in the next batch when many want the same booking, and what it counts."""

import asyncio
from collections import deque
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from actors.mailbox import Asked, Mailbox
from actors.outcome import Done
from domain.command import UpdateVendor
from tests.fakes.houses import amend, changing, guest, hold, new_booking_id, opening, restaurant, vendor_id

V = vendor_id(1)
BOOKINGS = [new_booking_id(V) for _ in range(5)]


def on(booking_id, notes=None):
    return Asked(amend(booking_id, notes=notes), None)


def put(mailbox, *asked):
    for one in asked:
        mailbox.put(one)
    return list(asked)


def test_many_commands_for_one_booking_take_one_place():
    mailbox = Mailbox(1000)
    crowd = put(mailbox, *(on(BOOKINGS[0]) for _ in range(70)))
    honest = put(mailbox, *(Asked(hold(V), None) for _ in range(20)))
    assert mailbox.take(16) == [crowd[0], *honest[:15]]
    assert mailbox.take(16) == [crowd[1], *honest[15:]]
    assert [mailbox.take(16) for _ in range(68)] == [[one] for one in crowd[2:]]
    assert mailbox.take(16) == []
    assert len(mailbox) == 0


def test_what_a_batch_put_off_goes_before_the_line_of_its_booking():
    mailbox = Mailbox(1000)
    first, second, third = put(mailbox, *(on(BOOKINGS[0]) for _ in range(3)))
    assert mailbox.take(8) == [first]
    mailbox.put_first([first])
    assert [mailbox.take(8) for _ in range(3)] == [[first], [second], [third]]


def test_each_line_has_its_turn():
    mailbox = Mailbox(1000)
    crowd = put(mailbox, *(on(booking_id) for _ in range(4) for booking_id in BOOKINGS[:3]))
    lone = put(mailbox, on(BOOKINGS[3]))
    assert mailbox.take(5) == [*crowd[:3], *lone]
    assert mailbox.take(2) == [crowd[3], crowd[4]]
    assert mailbox.take(2) == [crowd[5], crowd[6]]
    assert mailbox.take(2) == [crowd[7], crowd[8]]


def test_a_vendors_command_waits_for_one_batch_of_lines_and_lines_for_one_vendors_command():
    mailbox = Mailbox(1000)
    crowd = put(mailbox, *(on(BOOKINGS[0]) for _ in range(4)))
    own = put(mailbox, Asked(changing(V), None), Asked(changing(V), None))
    late = put(mailbox, Asked(hold(V), None))
    batches = [mailbox.take(8) for _ in range(6)]
    assert batches == [[crowd[0]], [own[0]], [crowd[1]], [own[1]], [crowd[2], *late], [crowd[3]]]


def test_the_bound_counts_those_in_line_and_those_put_off():
    mailbox = Mailbox(5)
    put(mailbox, *(on(BOOKINGS[0]) for _ in range(4)))
    assert not mailbox.full
    batch = mailbox.take(8)
    assert len(mailbox) == 3
    mailbox.put_first(batch)
    put(mailbox, on(BOOKINGS[1]))
    assert mailbox.full
    assert len(mailbox.take_all()) == 5
    assert len(mailbox) == 0


@given(
    st.lists(st.one_of(st.integers(0, 4), st.none(), st.just("vendor")), max_size=60),
    st.integers(1, 7),
    st.lists(st.integers(0, 5), max_size=20),
)
def test_everything_comes_once_in_order_of_its_booking(wanted, limit, pauses):
    """Whatever is queued, however it is put off: nothing is lost, doubled or overtaken by its own booking's next."""
    mailbox, numbers, taken = Mailbox(1000), count(), []
    arrivals = deque(wanted)
    pause = iter(pauses)
    while arrivals or len(mailbox):
        for _ in range(min(len(arrivals), next(pause, 100))):
            one = arrivals.popleft()
            command = changing(V) if one == "vendor" else None
            command = command or (hold(V) if one is None else amend(BOOKINGS[one], notes=str(next(numbers))))
            mailbox.put(Asked(command, None))
        batch = mailbox.take(limit)
        assert len(batch) <= limit
        bookings = [one.command.booking_id for one in batch if hasattr(one.command, "booking_id")]
        assert len(set(bookings)) == len(bookings)
        alone = any(isinstance(one.command, UpdateVendor) for one in batch)
        put_off = batch[len(batch) // 2 :] if next(pause, 0) == 1 and not alone else []
        assert len(batch) == 1 or not alone
        mailbox.put_first(put_off)
        taken += batch[: len(batch) - len(put_off)]
    assert len(taken) == len(set(map(id, taken))) == len(wanted)
    for booking_id in BOOKINGS:
        notes = [int(o.command.notes) for o in taken if getattr(o.command, "booking_id", None) == booking_id]
        assert notes == sorted(notes)


async def test_a_crowd_on_one_booking_slows_nobody_else_down(house):
    shard = await house.start(batch_commands_max=32)
    await shard.ask(opening(restaurant(V, tables=100)))
    booking_id = (await shard.ask(hold(V))).booking.booking_id
    crowd = [asyncio.ensure_future(shard.ask(amend(booking_id, notes=str(n)))) for n in range(200)]
    await asyncio.sleep(0)
    before = shard.stats().batches
    held = await asyncio.gather(*(shard.ask(hold(V, by=guest(2 + n))) for n in range(90)))
    assert all(isinstance(outcome, Done) for outcome in held)
    assert shard.stats().batches - before <= 5  # 90 holds at 31 a batch, and the batch under way
    outcomes = await asyncio.gather(*crowd)
    assert [outcome.booking.version for outcome in outcomes] == list(range(2, 202))
