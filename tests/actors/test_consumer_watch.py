"""The watch over consumers that are missing, hang, die, and refuse to go."""

import asyncio
from dataclasses import dataclass

import pytest

from actors.consumer_watch import ConsumerBeat, ConsumerWatch, WatchLimits
from actors.errors import NameTaken, NoActor

LIMITS = WatchLimits()


@dataclass
class Actor:
    pid: int
    hung: bool = False
    restarting: bool = False


class Cluster:
    """Actors by name. Ray starts a killed one again, under another number."""

    def __init__(self):
        self.actors = {}
        self.log = []
        self.pids = 100
        self.name_taken = 0
        self.reachable = True

    async def create(self, name):
        if self.name_taken:
            self.name_taken -= 1
            raise NameTaken
        self.pids += 1
        self.actors[name] = Actor(self.pids)
        self.log.append(("create", name))

    async def heartbeat(self, name, timeout_seconds):
        actor = self.actors.get(name)
        if actor is None:
            raise NoActor
        if actor.hung or actor.restarting:
            await asyncio.sleep(timeout_seconds)
            return None
        return ConsumerBeat("n1", actor.pid)

    async def kill_process(self, node, pid):
        for name, actor in self.actors.items():
            if actor.pid == pid and not actor.restarting and self.reachable:
                self.pids += 1
                self.actors[name] = Actor(self.pids)
                self.log.append(("kill", node, pid))
                return True
        return False

    async def discard(self, name):
        if self.actors.pop(name, None) is not None:
            self.log.append(("discard", name))


@pytest.fixture
def cluster():
    return Cluster()


async def watched(cluster, seconds, watch=None, names=("notifier",)):
    """The watch, after looking for so long."""
    watch = watch or ConsumerWatch(names, cluster)
    running = asyncio.ensure_future(watch.run())
    await asyncio.sleep(seconds)
    running.cancel()
    return watch


async def test_consumers_without_actors_get_them(cluster):
    await watched(cluster, 10, names=("notifier", "archiver"))
    assert sorted(cluster.log) == [("create", "archiver"), ("create", "notifier")]


async def test_one_whose_process_hangs_is_killed_and_ray_starts_it_again(cluster):
    watch = await watched(cluster, 10)
    cluster.actors["notifier"].hung = True
    await watched(cluster, LIMITS.silence_seconds - 3, watch)
    assert cluster.log == [("create", "notifier")]
    await watched(cluster, 10, watch)
    assert cluster.log == [("create", "notifier"), ("kill", "n1", 101)]
    await watched(cluster, 200, watch)
    assert len(cluster.log) == 2


async def test_one_that_ray_starts_again_is_left_alone(cluster):
    watch = await watched(cluster, 10)
    cluster.actors["notifier"].restarting = True
    await watched(cluster, LIMITS.restart_seconds - 10, watch)
    cluster.actors["notifier"].restarting = False
    await watched(cluster, 10, watch)
    assert cluster.log == [("create", "notifier")]


@pytest.mark.parametrize("trouble", ["never started again", "out of reach", "silent since the watch began"])
async def test_one_that_cannot_be_had_back_gets_a_successor(cluster, trouble):
    watch = await watched(cluster, 10)
    if trouble == "silent since the watch began":
        watch = ConsumerWatch(["notifier"], cluster)
    cluster.reachable = trouble != "out of reach"
    cluster.actors["notifier"].restarting = trouble == "never started again"
    cluster.actors["notifier"].hung = True
    await watched(cluster, LIMITS.restart_seconds + 10, watch)
    assert cluster.log == [("create", "notifier"), ("discard", "notifier"), ("create", "notifier")]
    await watched(cluster, 200, watch)
    assert len(cluster.log) == 3


async def test_a_dead_one_is_replaced_at_once(cluster):
    watch = await watched(cluster, 10)
    del cluster.actors["notifier"]
    await watch.round()
    assert cluster.log == [("create", "notifier")] * 2


async def test_a_name_in_use_is_tried_again(cluster):
    cluster.name_taken = 2
    await watched(cluster, 10)
    assert cluster.log == [("create", "notifier")]


async def test_ones_trouble_is_not_its_neighbours(cluster):
    real = cluster.heartbeat

    async def broken(name, timeout_seconds):
        if name == "notifier":
            raise ZeroDivisionError
        return await real(name, timeout_seconds)

    cluster.heartbeat = broken
    await watched(cluster, 10, names=("notifier", "archiver"))
    assert cluster.log == [("create", "archiver")]
