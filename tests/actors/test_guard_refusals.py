"""Memory made wrong on purpose: the database stops the sale, the shard reads again, and neighbours get their seats."""

import asyncio
from dataclasses import replace

from actors.outcome import Done, Trouble, VendorDone
from domain.booking import BookingStatus
from domain.rejection import Reason, Rejection
from storage.errors import GuardRefused
from tests.fakes.houses import cancel, changing, confirm, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)
W = vendor_id(2)


def forget_everything_taken(shard, of):
    """Memory believes that the whole house is free."""
    state = shard._memory.vendors[of]
    state.columns.clear()
    state.covers.clear()


async def ask_all(shard, *commands):
    return await asyncio.gather(*(shard.ask(command) for command in commands))


async def test_a_forgotten_seat_is_not_sold_and_the_other_one_is(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    await shard.ask(hold(V))
    forget_everything_taken(shard, V)
    outcome = await shard.ask(hold(V, by=guest(2)))
    assert isinstance(outcome, Done)
    assert outcome.booking.seats[0].seat_no == 2
    assert shard.stats().guard_refusals == 1


async def test_a_full_house_that_memory_forgot_is_full(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    await shard.ask(hold(V))
    forget_everything_taken(shard, V)
    assert (await shard.ask(hold(V, by=guest(2)))).reason is Reason.NO_AVAILABILITY


async def test_innocent_neighbours_go_through(house):
    shard = await house.start()
    for of in (V, W):
        await shard.ask(opening(restaurant(of, tables=2)))
    await shard.ask(hold(V))
    forget_everything_taken(shard, V)
    outcomes = await ask_all(shard, hold(W), hold(V, by=guest(2)), hold(V, by=guest(3)), hold(W, by=guest(4)))
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, True, False, True]


async def test_a_batch_that_is_refused_again_and_again_is_decided_one_by_one(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    store = house.stores[0]
    real = store.commit

    async def refuse_company(batch):
        if len(batch.events) > 1:
            raise GuardRefused("not together")
        await real(batch)

    store.commit = refuse_company
    outcomes = await ask_all(shard, hold(V), hold(V, by=guest(2)), hold(V, by=guest(3)))
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, True, False]
    assert {o.booking.seats[0].seat_no for o in outcomes[:2]} == {1, 2}
    assert [len(row.events) for row in house.database.outbox.values()] == [1, 1, 1]
    assert shard.stats().guard_refusals == 2


async def test_one_by_one_stops_where_an_outcome_becomes_unknown(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V, tables=3)))
    store = house.stores[0]
    real = store.commit

    async def refuse_company(batch):
        if len(batch.events) > 1:
            raise GuardRefused("not together")
        await real(batch)

    store.commit = refuse_company
    house.faults.next("commit", None, Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    first, second, third = await ask_all(shard, *(hold(V, by=guest(n)) for n in range(3)))
    assert isinstance(first, Done)
    assert second.trouble is Trouble.OUTCOME_UNKNOWN
    assert third.trouble is Trouble.DEPENDENCY_UNAVAILABLE


async def test_the_same_bit_twice_in_a_batch_waits_even_when_memory_is_wrong(house, monkeypatch):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    monkeypatch.setattr("actors.draft.evolve", lambda state, event: None)
    first, second = await ask_all(shard, hold(V), hold(V, by=guest(2)))
    assert isinstance(first, Done)
    assert second.reason is Reason.NO_AVAILABILITY


async def test_a_booking_that_changed_behind_memory_is_read_again(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=100)))
    placed = await shard.ask(hold(V))
    stale = shard._memory.bookings[placed.booking.booking_id]
    await shard.ask(cancel(placed.booking.booking_id))
    shard._memory.bookings[placed.booking.booking_id] = stale
    refused = await shard.ask(confirm(placed.booking.booking_id, V))
    assert isinstance(refused, Rejection)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.CANCELLED


async def test_a_database_at_odds_with_itself_is_no_refusal(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    words = dict(house.database.words)
    house.database.words.clear()
    outcome = await shard.ask(cancel(placed.booking.booking_id))
    assert outcome.trouble is Trouble.DEPENDENCY_UNAVAILABLE
    assert shard.stats().guard_refusals == house.limits.guard_refusals_max
    house.database.words.update(words)
    assert isinstance(await shard.ask(cancel(placed.booking.booking_id)), Done)


async def test_a_vendor_that_changed_behind_memory_is_decided_again(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    real = house.stores[0].load_vendor
    row = house.database.vendors[V]

    async def stale_once(vendor_id):
        house.stores[0].load_vendor = real
        vendor = await real(vendor_id)
        row.vendor = replace(row.vendor, version=5)
        return vendor

    house.stores[0].load_vendor = stale_once
    outcome = await shard.ask(changing(V, name="Renamed"))
    assert isinstance(outcome, VendorDone)
    assert outcome.vendor.version == 6


async def test_a_vendor_that_is_always_refused_is_given_up(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    outcome = await shard.ask(opening(restaurant(V), email="other@example.org"))
    assert outcome.trouble is Trouble.DEPENDENCY_UNAVAILABLE


async def test_a_command_that_cannot_be_decided_fails_alone(house, monkeypatch):
    from actors.errors import DecisionFailed

    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    from actors import draft

    real = draft.decide_hold

    def broken(state, command, *, now):
        if command.party_size == 3:
            raise ZeroDivisionError
        return real(state, command, now=now)

    monkeypatch.setattr(draft, "decide_hold", broken)
    good, bad, fine = await asyncio.gather(
        shard.ask(hold(V)),
        shard.ask(hold(V, by=guest(2), party=3)),
        shard.ask(hold(V, by=guest(3))),
        return_exceptions=True,
    )
    assert isinstance(good, Done)
    assert isinstance(bad, DecisionFailed)
    assert isinstance(fine, Done)
    [answer] = await shard.ask_batch([(hold(V, by=guest(4), party=3), False)])
    assert isinstance(answer, DecisionFailed)
