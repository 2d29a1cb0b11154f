"""A consumer's process: it ends for good when it is told to, and anew when it fails."""

import asyncio

import pytest

from actors.consumer_host import ConsumerConfig, ConsumerHost
from storage.shard_store import Owner

OWNER = Owner("actor", "node", 7)
made = []


class Parts:
    def __init__(self):
        self.state = "reading"
        self.closed = False
        self.error = None
        self._stopping = asyncio.Event()
        made.append(self)

    async def run(self):
        await self._stopping.wait()
        if self.error is not None:
            raise self.error
        await asyncio.sleep(3)  # what it has in hand

    def stop(self):
        self._stopping.set()

    async def close(self):
        self.closed = True


async def make(config, owner):
    await asyncio.sleep(1)
    assert (config.name, owner) == ("notifier", OWNER)
    return Parts()


async def make_nothing(config, owner):
    raise ConnectionRefusedError


@pytest.fixture
def left():
    made.clear()
    return []


def host(left, make_parts="make"):
    def leave(*, for_good):
        left.append(for_good)

    return ConsumerHost(ConsumerConfig("notifier", f"{__name__}:{make_parts}"), OWNER, leave)


async def test_it_finishes_what_is_in_hand_and_leaves_for_good(left):
    one = host(left)
    running = asyncio.create_task(one.run())
    assert one.state is None
    await asyncio.sleep(10)
    assert one.state == "reading"
    started = asyncio.get_running_loop().time()
    await one.stop()
    assert asyncio.get_running_loop().time() - started >= 3
    await running
    assert left == [True]
    assert made[0].closed


async def test_one_that_fails_leaves_to_be_started_again_and_not_at_once(left):
    one = host(left)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(10)
    made[0].error = ZeroDivisionError()
    made[0].stop()
    await asyncio.sleep(0.5)
    assert left == []
    await running
    assert left == [False]
    assert made[0].closed


async def test_one_whose_parts_cannot_be_made_is_started_again(left):
    await host(left, "make_nothing").run()
    assert left == [False]


async def test_one_that_ends_without_being_told_to_is_started_again(left):
    one = host(left)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(2)
    made[0].stop()
    await running
    assert left == [False]


async def test_a_stop_before_there_are_parts_starts_nothing(left):
    one = host(left)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(0.5)
    await one.stop()
    await running
    assert left == [True]
    assert made[0].closed
