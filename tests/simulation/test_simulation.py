"""Crashes between any two steps, lost replies, doubled and overtaking commands, clock jumps, sleepers that wake.

At the end: no acknowledged booking is lost, none was sold twice, nobody was told an untruth, and memory agrees with the
database. HOLDFAST_SIMULATION_SEEDS says how many runs (100), HOLDFAST_SIMULATION_FIRST_SEED where to begin (1).
"""

import asyncio
import contextlib
import logging
import os
from datetime import timedelta

import pytest

from domain.booking import BookingStatus
from tests.fakes.virtual_time import VirtualTimeLoop
from tests.simulation.simulation_guests import Guest, Manager
from tests.simulation.simulation_truths import history_untruths
from tests.simulation.simulation_world import World

SEEDS = int(os.environ.get("HOLDFAST_SIMULATION_SEEDS", "100"))
FIRST = int(os.environ.get("HOLDFAST_SIMULATION_FIRST_SEED", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_nobody_is_told_an_untruth(seed, caplog):
    caplog.set_level(logging.CRITICAL)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the run fails
    world = play(seed)
    assert world.untruths == [], f"seed {seed}, {world.weather}"


def test_a_run_is_repeatable():
    first, second = play(7), play(7)
    assert list(first.database.outbox) == list(second.database.outbox)
    assert [b.status for b in first.database.bookings.values()] == [b.status for b in second.database.bookings.values()]
    assert len(first.database.bookings) > 10


def play(seed: int) -> World:
    """One whole run, in virtual time."""
    world = World(seed)
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(_evening(world))
    finally:
        _drain(loop)
        loop.close()
    return world


async def _evening(world: World) -> None:
    for shard_id in range(world.weather.shards):
        world.calm = True
        await world.give_owner(shard_id)
    supervisor = asyncio.ensure_future(world.supervise())
    manager = Manager(world)
    vendors = await manager.open(3)
    world.calm = False
    troubles = (world.crashes, world.sleeps, world.jumps, world.outages, world.moves, world.forgetfulness)
    weather = [asyncio.ensure_future(trouble()) for trouble in troubles]
    weather.append(asyncio.ensure_future(manager.fuss(vendors)))
    guests = [Guest(world, number, vendors) for number in range(1, 11)]
    await asyncio.gather(*(guest.evening(30) for guest in guests))
    for task in weather:
        task.cancel()
    world.calm = True
    for zombie in [*world.zombies, *world.owners.values()]:
        zombie.wake()
    # The wall clock may have gone back, and the shards' time stood still since: bring it past everything.
    world.clock.jump(timedelta(days=1))
    await asyncio.sleep(60)
    await _closing(world)
    for host in list(world.owners.values()):
        host.crash()
    await asyncio.sleep(10)
    await asyncio.gather(*(guest.repeat_oneself() for guest in guests))
    await _closing(world)
    supervisor.cancel()


async def _closing(world: World) -> None:
    """Calm weather, an hour later: every promise is looked at once more."""
    for host in world.owners.values():
        if not host.shard.serving:
            world.untruths.append(f"shard {host.shard_id} has no owner that serves")
        world.look_into(host)
    for zombie in world.zombies:
        if zombie.alive and zombie.ended is None and zombie not in world.owners.values():
            world.untruths.append("a sleeper woke and did not leave")
    for booking_id, version in world.acknowledged.items():
        stored = world.database.bookings.get(booking_id)
        if stored is None or stored.version < version:
            world.untruths.append(f"acknowledged booking {booking_id} is lost")
    now = world.owners[0].shard.now()
    for booking in world.database.bookings.values():
        if booking.status is BookingStatus.BLOCKED and booking.hold_expires_at < now:
            world.untruths.append(f"hold {booking.booking_id} outlived its time")
    world.untruths.extend(world.database.problems())
    world.untruths.extend(history_untruths(world.database))


def _drain(loop: VirtualTimeLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
