"""What only the log in Postgres has to prove: offsets appear in order, claims fence, old messages go when all passed."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from storage.event_log import Message, Topic, partition_of
from storage.postgres import sql
from storage.postgres_event_log import PostgresEventReader, PostgresEventWriter
from tests.conformance.event_logs import TOPICS, messages, numbers, read
from tests.conformance.waiting import until

BOOKINGS = (Topic.NEW_BOOKING,)


@pytest.fixture
async def writer(database):
    made = PostgresEventWriter(database)
    yield made
    await made.close()


@pytest.fixture
async def join(database):
    """Opens members that are closed afterwards."""
    opened = []

    def open_reader(group="readers", topics=BOOKINGS, **options):
        opened.append(PostgresEventReader(database, group, topics, **options))
        return opened[-1]

    yield open_reader
    for reader in opened:
        await reader.close()


def one(key, number):
    return [Message(Topic.NEW_BOOKING, key, str(number).encode())]


def append_parameters(sent):
    return (
        [message.topic for message in sent],
        [partition_of(message.key) for message in sent],
        [message.key for message in sent],
        [message.value for message in sent],
    )


async def test_a_reader_never_passes_an_offset_that_is_committed_later(admin, writer, join):
    """A slow append holds the end of its partition, so a later one waits instead of becoming visible first."""
    reader = join()
    slow = admin.transaction()
    await slow.start()
    await admin.execute(sql("append_messages"), *append_parameters(one("k", 1)))
    quick = asyncio.create_task(writer.append(one("k", 2)))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name ~ 'event writer'"
    )
    other = await asyncpg.connect(dsn=None, **_same(admin))
    try:
        await until(lambda: other.fetchval(waiting))
    finally:
        await other.close()
    assert list(await reader.poll(10, 0.0)) == []
    await slow.commit()
    await quick
    assert numbers(await read(reader, 2)) == [1, 2]


def _same(connection):
    parameters = connection._params
    host, port = connection._addr
    return {"host": host, "port": port, "user": parameters.user, "password": parameters.password,
            "database": parameters.database}  # fmt: skip


async def test_appends_to_the_same_partitions_in_opposite_order_do_not_deadlock(database, writer):
    other = PostgresEventWriter(database)
    there, back = messages(300, keys=100), list(reversed(messages(300, keys=100)))
    await asyncio.gather(*(w.append(sent) for _ in range(20) for w, sent in ((writer, there), (other, back))))
    await other.close()


async def test_a_member_that_was_taken_for_dead_commits_nothing(admin, writer, join):
    await writer.append(messages(40))
    silent, other = join(claim_seconds=60), join(claim_seconds=60)
    stale = await read(silent, 40)
    await admin.execute("UPDATE event_member SET alive_until = now() - interval '1 second'")
    silent._share_at = float("inf")  # it does not notice: it is still busy with what it read
    taken = await read(other, 40)
    await silent.commit(stale)
    assert await other.lag() == 40
    await other.commit(taken)
    assert await other.lag() == 0
    assert list(await silent.poll(10, 0.0)) == [], "it read on although its partitions are another's"


async def test_a_member_that_comes_back_to_a_partition_begins_at_the_groups_last_commit(admin, writer, join):
    """Not where it was itself: the other member has not handled all of that."""
    await writer.append(messages(40, keys=1))
    first, second = join(claim_seconds=60), join(claim_seconds=60)
    stale = await read(first, 40)
    await admin.execute("UPDATE event_member SET alive_until = now() - interval '1 second'")
    first._share_at = float("inf")
    await second.commit((await read(second, 40))[:15])
    await second.close()
    first._share_at = float("-inf")
    assert numbers(await read(first, 25)) == list(range(15, 40))
    await first.commit(stale[:10])
    assert await first.lag() == 25


async def test_a_member_lives_while_its_messages_are_handled(writer, join):
    """It polls nothing for longer than its claims last, because a task of its own speaks for it."""
    await writer.append(messages(40))
    busy, other = join(claim_seconds=0.3), join(claim_seconds=0.3)
    found = await read(busy, 40)
    assert [list(await other.poll(10, 0.3)) for _ in range(4)] == [[]] * 4
    await busy.commit(found)
    assert await busy.lag() == 0


async def test_a_member_that_hangs_loses_its_partitions_in_the_end(writer, join):
    await writer.append(messages(40))
    hanging, other = join(claim_seconds=0.2, handling_seconds_max=0.5), join(claim_seconds=0.2)
    await read(hanging, 40)
    assert set(numbers(await read(other, 40))) == set(range(40))


async def test_three_members_have_a_part_of_each_topic(writer, join):
    """At once: who joins and who gives back wakes the others, whose own next look would be in 20 seconds."""
    readers = [join(topics=TOPICS, claim_seconds=60) for _ in range(3)]

    async def shared():
        for reader in readers:
            await reader.poll(1, 0.0)
        return [len(reader._claims) for reader in readers] == [4, 4, 4]

    await until(shared)
    held = [{topic for topic, _ in reader._claims} for reader in readers]
    assert held == [set(TOPICS)] * 3
    assert len({place for reader in readers for place in reader._claims}) == 12


async def test_messages_are_found_also_when_nobody_is_told_of_them(writer, join, monkeypatch):
    reader = join()

    async def deaf():
        return False

    monkeypatch.setattr(reader._wakeups, "listen", deaf)
    waiting = asyncio.create_task(reader.poll(10, 10.0))
    await writer.append(messages(3))
    began = asyncio.get_running_loop().time()
    assert len(await waiting) == 3 or len(await read(reader, 1))
    assert asyncio.get_running_loop().time() - began < 5


async def test_old_messages_go_once_every_group_has_passed_them(admin, writer, join):
    await writer.append(messages(30, keys=1))
    soon = datetime.now(UTC) + timedelta(seconds=5)
    one_group, other = join("one"), join("other")
    found = await read(one_group, 30)
    await one_group.commit(found)
    await other.commit((await read(other, 30))[:12])
    assert await writer.forget(datetime.now(UTC) - timedelta(days=1)) == 0
    assert await writer.forget(soon) == 12
    assert await writer.forget(soon) == 0
    await other.rewind()
    assert numbers(await read(other, 18)) == list(range(12, 30))
    assert numbers(await read(join("new"), 18)) == list(range(12, 30))
    assert await join("newer").lag() == 18


async def test_a_new_group_of_an_emptied_log_begins_at_its_end(writer, join):
    await writer.append(messages(10, keys=1))
    await writer.forget(datetime.now(UTC) + timedelta(seconds=5))
    reader = join()
    assert await reader.lag() == 0
    assert list(await reader.poll(10, 0.0)) == []
    assert await reader.lag() == 0
    await writer.append(one("key-0", 10))
    (found,) = await read(reader, 1)
    assert (found.offset, found.value) == (10, b"10")
