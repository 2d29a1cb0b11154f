"""The supervisor over actors that start late, hang, die, and refuse to go."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from actors.errors import NameTaken, NoActor
from actors.supervisor import Heartbeat, Supervisor, SupervisorLimits
from storage.errors import StoreUnavailable
from tests.fakes.virtual_time import Clock


@dataclass
class Actor:
    actor_id: str
    node: str = "n1"
    pid: int = 0
    state: str = "starting"
    hung: bool = False
    restarting: bool = False


@dataclass
class Row:
    shard_id: int
    actor_id: str = ""
    node: str = ""
    pid: int = 0


class Cluster:
    """Actors by shard, and the directory, in which an actor that is named takes its shard."""

    def __init__(self, shards=1) -> None:
        self.actors: dict[int, Actor] = {}
        self.rows = [Row(n) for n in range(shards)]
        self.log: list[tuple] = []
        self.births = 0
        self.away = False
        self.name_taken = 0
        self.reachable = True

    async def create(self, shard_id, node):
        if self.name_taken:
            self.name_taken -= 1
            raise NameTaken
        self.births += 1
        actor = Actor(f"actor-{self.births}", node or "n1", 100 + self.births)
        self.actors[shard_id] = actor
        self.log.append(("create", shard_id, actor.actor_id))
        return actor.actor_id

    async def heartbeat(self, shard_id, timeout_seconds):
        actor = self.actors.get(shard_id)
        if actor is None:
            raise NoActor
        if actor.hung or actor.restarting:
            await asyncio.sleep(timeout_seconds)
            return None
        row = self.rows[shard_id]
        if actor.state == "starting" and row.actor_id == actor.actor_id:
            actor.state, row.node, row.pid = "serving", actor.node, actor.pid
        return Heartbeat(actor.actor_id, actor.state, actor.pid, "127.0.0.1:1")

    async def stop(self, shard_id, timeout_seconds):
        self.log.append(("stop", shard_id))

    async def discard(self, shard_id):
        if self.actors.pop(shard_id, None) is not None:
            self.log.append(("discard", shard_id))

    async def kill_process(self, node, pid):
        for actor in self.actors.values():
            if actor.pid == pid and not actor.restarting and self.reachable:
                self.log.append(("kill", node, pid))
                return True
        return False

    async def shards(self):
        if self.away:
            raise StoreUnavailable
        return self.rows

    async def forget_answers(self, before):
        if self.away:
            raise StoreUnavailable
        self.log.append(("forget", before))
        return 0

    async def claim(self, shard_id, actor_id):
        if self.away:
            raise StoreUnavailable
        self.rows[shard_id].actor_id = actor_id
        self.log.append(("claim", shard_id, actor_id))


LIMITS = SupervisorLimits()


@pytest.fixture
def cluster():
    return Cluster()


def supervise(cluster, shards=1):
    return Supervisor(range(shards), cluster, cluster, LIMITS, clock=Clock())


async def rounds(supervisor, seconds):
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        await supervisor.round()
        await asyncio.sleep(LIMITS.heartbeat_seconds)


async def test_shards_without_owners_get_them():
    cluster = Cluster(3)
    supervisor = supervise(cluster, 3)
    await rounds(supervisor, 3)
    assert [actor.state for actor in cluster.actors.values()] == ["serving"] * 3
    assert cluster.births == 3


async def test_a_hung_owner_is_killed_before_its_successor_starts(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].hung = True
    before = len(cluster.log)
    started = asyncio.get_running_loop().time()
    await rounds(supervisor, 6)
    assert [entry[0] for entry in cluster.log[before:]] == ["kill", "discard", "create", "claim"]
    assert cluster.actors[0].state == "serving"
    assert asyncio.get_running_loop().time() - started < 8


async def test_a_short_silence_is_no_death(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].hung = True
    await rounds(supervisor, 1)
    cluster.actors[0].hung = False
    await rounds(supervisor, 5)
    assert cluster.births == 1


async def test_an_owner_that_ray_starts_again_is_left_alone(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].restarting = True
    await rounds(supervisor, 10)
    cluster.actors[0].restarting = False
    await rounds(supervisor, 3)
    assert cluster.births == 1
    assert ("kill", "n1", 101) not in cluster.log


async def test_a_restart_that_never_ends_is_ended(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].restarting = True
    await rounds(supervisor, LIMITS.restart_seconds + 5)
    assert cluster.births == 2
    assert cluster.actors[0].state == "serving"


async def test_a_hung_owner_that_nobody_can_reach_gets_a_successor_all_the_same(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].hung = True
    cluster.reachable = False
    await rounds(supervisor, LIMITS.restart_seconds + 5)
    assert cluster.births == 2


async def test_a_dead_owner_is_replaced_at_once(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    del cluster.actors[0]
    await supervisor.round()
    assert cluster.births == 2


async def test_a_living_actor_that_the_directory_does_not_name_is_named(cluster):
    """The supervisor died between starting an actor and naming it."""
    await cluster.create(0, None)
    cluster.rows[0].actor_id = "somebody who is no more"
    await rounds(supervise(cluster), 3)
    assert cluster.births == 1
    assert cluster.actors[0].state == "serving"


async def test_an_actor_that_never_gets_to_serve_is_replaced(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    cluster.actors[0].state = "left"
    await rounds(supervisor, LIMITS.restart_seconds + 5)
    assert cluster.births == 2


async def test_a_move_asks_the_old_owner_to_answer_first(cluster):
    supervisor = supervise(cluster)
    await rounds(supervisor, 3)
    before = len(cluster.log)
    await supervisor.move(0, "n2")
    assert [entry[0] for entry in cluster.log[before:]] == ["stop", "discard", "create", "claim"]
    assert cluster.actors[0].node == "n2"
    with pytest.raises(KeyError):
        await supervisor.move(7, None)


async def test_a_database_that_is_away_and_a_name_in_use_are_tried_again(cluster):
    supervisor = supervise(cluster)
    cluster.name_taken = 2
    cluster.away = True
    await rounds(supervisor, 4)
    assert cluster.births == 1
    cluster.away = False
    await rounds(supervisor, 4)
    assert cluster.actors[0].state == "serving"
    assert cluster.births == 1


async def test_one_shards_trouble_is_not_its_neighbours():
    cluster = Cluster(2)
    real = cluster.heartbeat

    async def broken(shard_id, timeout_seconds):
        if shard_id == 0:
            raise ZeroDivisionError
        return await real(shard_id, timeout_seconds)

    cluster.heartbeat = broken
    await rounds(supervise(cluster, 2), 3)
    assert cluster.actors[1].state == "serving"


async def test_answers_are_forgotten_when_their_time_is_over(cluster):
    running = asyncio.ensure_future(supervise(cluster).run())
    await asyncio.sleep(5)
    cluster.away = True
    await asyncio.sleep(LIMITS.forget_every_seconds)
    cluster.away = False
    await asyncio.sleep(LIMITS.forget_every_seconds)
    running.cancel()
    first, second = [entry[1] for entry in cluster.log if entry[0] == "forget"]
    assert second > first
    age = Clock()() - second
    assert timedelta(0) <= age - timedelta(hours=LIMITS.answers_kept_hours) < timedelta(minutes=10)


async def test_it_runs_until_it_is_cancelled(cluster):
    running = asyncio.ensure_future(supervise(cluster).run())
    await asyncio.sleep(10)
    running.cancel()
    assert cluster.actors[0].state == "serving"
