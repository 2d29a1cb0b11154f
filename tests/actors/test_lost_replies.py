"""The connection dies while a batch is written: nobody is answered before the truth is known, and then truthfully."""

import asyncio

import pytest

from actors.outcome import Done, Trouble, Unavailable, VendorDone
from actors.shard import Ending
from domain.booking import BookingStatus
from domain.rejection import Reason
from tests.fakes.houses import cancel, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)


@pytest.mark.parametrize("fault", [Fault.LOST_UNDONE, Fault.LOST_DONE, Fault.LOST_LATE])
async def test_the_hold_is_made_exactly_once_and_answered_as_made(house, fault):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    house.faults.next("commit", fault)
    outcome = await shard.ask(hold(V))
    assert isinstance(outcome, Done)
    assert list(house.database.bookings.values()) == [outcome.booking]
    await asyncio.sleep(2)
    assert list(house.database.bookings.values()) == [outcome.booking]
    assert (await shard.ask(hold(V, by=guest(2)))).reason is Reason.NO_AVAILABILITY


async def test_nobody_is_answered_before_the_epoch_was_raised(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit", Fault.LOST_LATE)
    house.faults.next("retake", 1.0)
    asked = asyncio.ensure_future(shard.ask(hold(V)))
    await asyncio.sleep(0.9)
    assert not asked.done()
    assert isinstance(await asked, Done)
    assert house.steps.index("retake") < house.steps.index("committed")
    assert shard.stats().epoch == 2


async def test_a_late_statement_of_the_old_epoch_writes_nothing(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    house.faults.next("commit", Fault.LOST_LATE)
    first = await shard.ask(hold(V))
    await asyncio.sleep(2)
    assert [b.booking_id for b in house.database.bookings.values()] == [first.booking.booking_id]
    assert len(house.database.outbox) == 2


async def test_a_change_is_not_made_twice(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    house.faults.next("commit", Fault.LOST_DONE)
    outcome = await shard.ask(cancel(placed.booking.booking_id))
    assert outcome.booking.status is BookingStatus.CANCELLED
    assert outcome.booking.version == 2
    assert shard._memory.bookings[placed.booking.booking_id].version == 2


async def test_while_the_truth_cannot_be_had_it_is_said_so_and_learnt_later(house):
    shard = await house.start(patience_seconds=2.0)
    await shard.ask(opening(restaurant(V, tables=2, deposit=100, hold_ttl_seconds=60)))
    house.faults.next("commit", Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    unknown = await shard.ask(hold(V, key="k"))
    assert isinstance(unknown, Unavailable)
    assert unknown.trouble is Trouble.OUTCOME_UNKNOWN
    assert not shard.stats().serving
    meanwhile = await shard.ask(hold(V, by=guest(2)))
    assert meanwhile.trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    await asyncio.sleep(2)
    again = await shard.ask(hold(V, key="k"))
    assert again.replayed
    assert len(house.database.bookings) == 1
    await asyncio.sleep(62)
    [booking] = house.database.bookings.values()
    assert booking.status is BookingStatus.EXPIRED, "the hold that nobody was told of expires as well"


async def test_a_refused_neighbour_of_an_unknown_batch_is_told_that_nothing_was_changed(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit", Fault.LOST_UNDONE)
    house.faults.always("committed", Fault.UNAVAILABLE)
    wrote, refused = await asyncio.gather(shard.ask(hold(V)), shard.ask(hold(V, by=guest(2))))
    assert wrote.trouble is Trouble.OUTCOME_UNKNOWN
    assert refused.trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    await asyncio.sleep(2)
    assert isinstance(await shard.ask(hold(V)), Done)


@pytest.mark.parametrize(("fault", "done"), [(Fault.LOST_DONE, True), (Fault.LOST_UNDONE, False)])
async def test_fenced_while_clearing_up_still_tells_the_truth(house, fault, done):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit", fault)
    house.faults.next("retake", 1.0)
    asked = asyncio.ensure_future(shard.ask(hold(V)))
    await asyncio.sleep(0.5)
    await house.start("successor")
    outcome = await asked
    assert isinstance(outcome, Done) if done else outcome.trouble is Trouble.SHARD_MOVING
    assert bool(house.database.bookings) is done
    await asyncio.sleep(0)
    assert house.endings == [Ending.FENCED]


async def test_a_lost_vendor_is_cleared_up_too(house):
    shard = await house.start()
    for number, fault in enumerate((Fault.LOST_DONE, Fault.LOST_UNDONE, Fault.LOST_LATE)):
        house.faults.next("commit_vendor", fault)
        outcome = await shard.ask(opening(restaurant(vendor_id(number))))
        assert isinstance(outcome, VendorDone)
    assert len(house.database.vendors) == 3


async def test_a_vendor_whose_outcome_stays_unknown_says_so(house):
    shard = await house.start(patience_seconds=1.0)
    house.faults.next("commit_vendor", Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    outcome = await shard.ask(opening(restaurant(V)))
    assert outcome.trouble is Trouble.OUTCOME_UNKNOWN
    house.faults.clear()
    await asyncio.sleep(2)
    again = await shard.ask(opening(restaurant(V)), again=True)
    assert isinstance(again, VendorDone)


async def test_expiries_that_nobody_knows_the_outcome_of_are_tried_again(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=10)))
    placed = await shard.ask(hold(V))
    house.faults.next("commit", Fault.LOST_UNDONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    await asyncio.sleep(14)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.BLOCKED
    house.faults.clear()
    await asyncio.sleep(3)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.EXPIRED


async def test_expiries_put_off_by_a_batch_of_unknown_outcome_are_not_forgotten(house):
    shard = await house.start(patience_seconds=1.0, batch_words_max=2)
    await shard.ask(opening(restaurant(V, tables=5, deposit=100, hold_ttl_seconds=10)))
    placed = await asyncio.gather(*(shard.ask(hold(V, by=guest(number))) for number in range(5)))
    assert all(isinstance(outcome, Done) for outcome in placed)
    house.faults.next("commit", Fault.LOST_UNDONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    await asyncio.sleep(14)
    assert {b.status for b in house.database.bookings.values()} == {BookingStatus.BLOCKED}
    house.faults.clear()
    await asyncio.sleep(3)
    assert {b.status for b in house.database.bookings.values()} == {BookingStatus.EXPIRED}


async def test_an_expiry_that_hits_a_bug_is_tried_again_later(house, monkeypatch):
    shard = await house.start(failed_expiry_rest_seconds=60.0)
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=10)))
    placed = await shard.ask(hold(V))
    decided = []

    def broken(state, booking, command, *, now):
        decided.append(command)
        raise ZeroDivisionError

    monkeypatch.setattr("actors.draft.decide_change", broken)
    await asyncio.sleep(15)
    assert len(decided) == 1, "one that fails by itself does not keep the shard busy"
    monkeypatch.undo()
    await asyncio.sleep(60)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.EXPIRED
