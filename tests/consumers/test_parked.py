"""Parked messages, in Postgres and in the fake that the runtime's tests park in."""

import pytest

from storage.event_log import Delivered, Topic
from storage.parked import ParkedMessages
from storage.postgres import Database
from tests.fakes.memory_parked import MemoryParked


@pytest.fixture(params=["postgres", "memory"])
async def parked(request, database):
    pool = Database(database, "test", 2)
    yield MemoryParked() if request.param == "memory" else ParkedMessages(pool)
    await pool.close()


def message(offset=1, value=b"{}", topic=Topic.NEW_BOOKING):
    return Delivered(topic, 3, offset, "a-key", value)


async def park(parked, *offsets, consumer="notifier"):
    """Park these; their ids."""
    for offset in offsets:
        await parked.park(consumer, message(offset), f"ValueError: {offset}", 4)
    rows = {row.message.offset: row.parked_id for row in await parked.waiting(consumer, 1000)}
    return [rows[offset] for offset in offsets]


async def test_a_message_comes_back_as_it_was(parked):
    await parked.park("notifier", message(7, b"\x00\xff not json"), "ValueError: \udcff no\0such thing", 4)
    [row] = await parked.waiting("notifier", 10)
    assert row.message == message(7, b"\x00\xff not json")
    assert (row.consumer, row.tries, row.settled_how, row.replay_asked_at) == ("notifier", 4, None, None)
    assert "such thing" in row.error
    assert await parked.by_id(row.parked_id) == row


async def test_parking_again_changes_nothing(parked):
    await park(parked, 1, 1)
    [row] = await parked.waiting("notifier", 10)
    assert row.tries == 4


async def test_other_messages_at_the_same_place_are_not_lost(parked):
    """A log that was made anew counts its offsets from the beginning."""
    await parked.park("notifier", message(1, b"old"), "E", 1)
    await parked.park("notifier", message(1, b"new"), "E", 1)
    assert [row.message.value for row in await parked.waiting("notifier", 10)] == [b"old", b"new"]


async def test_consumers_have_their_own(parked):
    await park(parked, 1, 2)
    await park(parked, 1, consumer="archiver")
    assert [await parked.unsettled(name) for name in ("notifier", "archiver", "relay")] == [2, 1, 0]
    assert len(await parked.waiting(None, 10)) == 3
    assert len(await parked.waiting(None, 2)) == 2


async def test_a_replay_is_asked_for_and_settled(parked):
    first, second = await park(parked, 1, 2)
    assert await parked.ask_replay(second)
    assert [row.parked_id for row in await parked.to_replay("notifier", 10)] == [second]
    assert await parked.to_replay("archiver", 10) == []
    await parked.settle_replayed(second)
    assert await parked.to_replay("notifier", 10) == []
    assert [row.parked_id for row in await parked.waiting("notifier", 10)] == [first]
    assert (await parked.by_id(second)).settled_how == "replayed"
    assert not await parked.ask_replay(second)


async def test_a_replay_that_fails_waits_to_be_asked_for_again(parked):
    [only] = await park(parked, 1)
    await parked.ask_replay(only)
    await parked.failed_again(only, "KeyError: still", 4)
    assert await parked.to_replay("notifier", 10) == []
    [row] = await parked.waiting("notifier", 10)
    assert (row.error, row.tries) == ("KeyError: still", 8)


async def test_all_of_one_consumer_or_of_every_one(parked):
    await park(parked, 1, 2)
    await park(parked, 1, consumer="archiver")
    assert await parked.ask_replay_of_all("notifier") == 2
    assert len(await parked.to_replay("notifier", 1)) == 1
    assert await parked.to_replay("archiver", 10) == []
    assert await parked.ask_replay_of_all(None) == 3


async def test_what_was_dropped_stays_dropped_and_what_was_replayed_may_fail_anew(parked):
    dropped, replayed = await park(parked, 1, 2)
    assert await parked.drop(dropped)
    assert not await parked.drop(dropped)
    await parked.settle_replayed(replayed)
    for offset in (1, 2):
        await parked.park("notifier", message(offset), "again", 1)
    [row] = await parked.waiting("notifier", 10)
    assert (row.parked_id, row.error, row.settled_how) == (replayed, "again", None)


async def test_what_is_not_there_says_so(parked):
    assert await parked.by_id(99) is None
    assert not await parked.ask_replay(99)
    assert not await parked.drop(99)
