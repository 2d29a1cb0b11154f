"""The supervisor over actors that start late, hang, die, and refuse to go."""

import asyncio
import logging
from collections import Counter
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
    """Actors by shard, and the directory, in which an actor that is named takes its shard.

    `misses` are the beats that a shard will still not answer. Answers that somebody may repeat are dropped three at a
    time, or not at all where the caller leaves in between.
    """

    def __init__(self, shards=1) -> None:
        self.actors: dict[int, Actor] = {}
        self.rows = [Row(n) for n in range(shards)]
        self.log: list[tuple] = []
        self.births = 0
        self.away = False
        self.name_taken = 0
        self.reachable = True
        self.asked: Counter[int] = Counter()
        self.misses: Counter[int] = Counter()
        self.stop_seconds = 0.0
        self.forget_seconds = 0.0
        self.answers = []
        self.forgot_before = []

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
        self.asked[shard_id] += 1
        actor = self.actors.get(shard_id)
        if actor is None:
            raise NoActor
        if actor.hung or actor.restarting or self.misses[shard_id]:
            self.misses[shard_id] = max(0, self.misses[shard_id] - 1)
            await asyncio.sleep(timeout_seconds)
            return None
        row = self.rows[shard_id]
        if actor.state == "starting" and row.actor_id == actor.actor_id:
            actor.state, row.node, row.pid = "serving", actor.node, actor.pid
        return Heartbeat(actor.actor_id, actor.state, actor.pid, "127.0.0.1:1")

    async def stop(self, shard_id, timeout_seconds):
        self.log.append(("stop", shard_id))
        await asyncio.sleep(min(self.stop_seconds, timeout_seconds))

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
        self.forgot_before.append(before)
        old = [made_at for made_at in self.answers if made_at < before][:3]
        await asyncio.sleep(self.forget_seconds)
        for made_at in old:
            self.answers.remove(made_at)
        return len(old)

    async def claim(self, shard_id, actor_id):
        if self.away:
            raise StoreUnavailable
        self.rows[shard_id].actor_id = actor_id
        self.log.append(("claim", shard_id, actor_id))


LIMITS = SupervisorLimits()
KILLED_WITHIN_SECONDS = LIMITS.silence_seconds + LIMITS.heartbeat_seconds + 0.1
"""Up to a rest may pass between the last answer and the first beat that is missed."""


def kills(cluster):
    """The processes that were killed, in order."""
    return [entry[2] for entry in cluster.log if entry[0] == "kill"]


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
async def supervise():
    """Starts a supervisor over a cluster, and ends it after the test."""
    running = []

    def start(cluster, shards=1):
        supervisor = Supervisor(range(shards), cluster, cluster, LIMITS, clock=Clock())
        running.append(asyncio.ensure_future(supervisor.run()))
        return supervisor

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_shards_without_owners_get_them(supervise):
    cluster = Cluster(3)
    supervise(cluster, 3)
    await asyncio.sleep(3)
    assert [actor.state for actor in cluster.actors.values()] == ["serving"] * 3
    assert cluster.births == 3


async def test_a_hung_owner_is_killed_before_its_successor_starts(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].hung = True
    before = len(cluster.log)
    await asyncio.sleep(KILLED_WITHIN_SECONDS)
    assert [entry[0] for entry in cluster.log[before:]] == ["kill", "discard", "create", "claim"]
    await asyncio.sleep(3)
    assert cluster.actors[0].state == "serving"
    assert cluster.births == 2


async def test_a_short_silence_is_no_death(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].hung = True
    await asyncio.sleep(1)
    cluster.actors[0].hung = False
    await asyncio.sleep(5)
    assert cluster.births == 1


async def test_an_owner_that_ray_starts_again_is_left_alone(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].restarting = True
    await asyncio.sleep(10)
    cluster.actors[0].restarting = False
    await asyncio.sleep(3)
    assert cluster.births == 1
    assert ("kill", "n1", 101) not in cluster.log


async def test_an_owner_that_was_started_again_and_hangs_later_is_killed(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].restarting = True
    await asyncio.sleep(10)
    cluster.actors[0].restarting = False
    await asyncio.sleep(3)
    cluster.actors[0].hung = True
    await asyncio.sleep(KILLED_WITHIN_SECONDS)
    assert kills(cluster) == [101]


async def test_a_restart_that_never_ends_is_ended(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].restarting = True
    await asyncio.sleep(LIMITS.restart_seconds + 5)
    assert cluster.births == 2
    assert cluster.actors[0].state == "serving"


async def test_a_hung_owner_that_nobody_can_reach_gets_a_successor_all_the_same(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].hung = True
    cluster.reachable = False
    await asyncio.sleep(LIMITS.restart_seconds + 5)
    assert cluster.births == 2


async def test_a_hung_owner_is_killed_first_also_when_the_directory_was_away(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].hung = True
    cluster.away = True
    await asyncio.sleep(10)
    before = len(cluster.log)
    cluster.away = False
    await asyncio.sleep(LIMITS.restart_seconds + 5)
    assert [entry[0] for entry in cluster.log[before:]] == ["kill", "discard", "create", "claim"]


async def test_a_dead_owner_is_replaced_at_once(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    del cluster.actors[0]
    await asyncio.sleep(LIMITS.heartbeat_seconds + 0.1)
    assert cluster.births == 2


async def test_a_living_actor_that_the_directory_does_not_name_is_named(cluster, supervise):
    """The supervisor died between starting an actor and naming it."""
    await cluster.create(0, None)
    cluster.rows[0].actor_id = "somebody who is no more"
    supervise(cluster)
    await asyncio.sleep(3)
    assert cluster.births == 1
    assert cluster.actors[0].state == "serving"


async def test_an_actor_that_never_gets_to_serve_is_replaced(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3)
    cluster.actors[0].state = "left"
    await asyncio.sleep(LIMITS.restart_seconds + 5)
    assert cluster.births == 2


async def test_an_owner_that_served_for_long_may_take_its_time_to_serve_again(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(2 * LIMITS.restart_seconds)
    cluster.actors[0].state = "left"
    await asyncio.sleep(LIMITS.restart_seconds - 5)
    assert cluster.births == 1


async def test_a_move_asks_the_old_owner_to_answer_first(cluster, supervise):
    supervisor = supervise(cluster)
    await asyncio.sleep(3)
    before = len(cluster.log)
    await supervisor.move(0, "n2")
    assert [entry[0] for entry in cluster.log[before:]] == ["stop", "discard", "create", "claim"]
    assert cluster.actors[0].node == "n2"
    with pytest.raises(KeyError):
        await supervisor.move(7, None)


async def test_a_database_that_is_away_and_a_name_in_use_are_tried_again(cluster, supervise):
    supervise(cluster)
    cluster.name_taken = 2
    cluster.away = True
    await asyncio.sleep(4)
    assert cluster.births == 1
    cluster.away = False
    await asyncio.sleep(4)
    assert cluster.actors[0].state == "serving"
    assert cluster.births == 1


async def test_one_shards_trouble_is_not_its_neighbours(supervise):
    cluster = Cluster(2)
    real = cluster.heartbeat

    async def broken(shard_id, timeout_seconds):
        if shard_id == 0:
            raise ZeroDivisionError
        return await real(shard_id, timeout_seconds)

    cluster.heartbeat = broken
    supervise(cluster, 2)
    await asyncio.sleep(3)
    assert cluster.actors[1].state == "serving"


async def test_a_busy_shard_does_not_hold_up_its_neighbours_beats(supervise):
    cluster = Cluster(2)
    supervisor = supervise(cluster, 2)
    await asyncio.sleep(3.5)
    cluster.stop_seconds = 10
    before = cluster.asked[1]
    await supervisor.move(0, "n2")
    assert cluster.asked[1] - before >= 9


async def slow_move_of_the_first(cluster, supervise):
    supervisor = supervise(cluster, 2)
    await asyncio.sleep(3.5)
    cluster.stop_seconds = 10
    return asyncio.ensure_future(supervisor.move(0, "n2"))


async def test_one_beat_missed_after_a_neighbours_move_is_no_death(supervise):
    cluster = Cluster(2)
    moving = await slow_move_of_the_first(cluster, supervise)
    await asyncio.sleep(9.9)
    cluster.misses[1] = 1
    await asyncio.sleep(5)
    assert moving.done()
    assert cluster.misses[1] == 0
    assert kills(cluster) == []
    assert cluster.births == 3


async def test_a_silent_owner_is_killed_in_time_also_while_its_neighbour_moves(supervise):
    cluster = Cluster(2)
    moving = await slow_move_of_the_first(cluster, supervise)
    pid = cluster.actors[1].pid
    cluster.actors[1].hung = True
    await asyncio.sleep(KILLED_WITHIN_SECONDS)
    assert not moving.done()
    assert kills(cluster) == [pid]
    await moving


@pytest.mark.parametrize("misses", [1, 2, 3])
async def test_time_in_which_nobody_asked_is_no_silence(cluster, supervise, misses):
    """The supervisor itself stood still for half a minute, and its owner is as well as before."""
    supervise(cluster)
    await asyncio.sleep(3.5)
    asyncio.get_running_loop().advance(30)
    cluster.misses[0] = misses
    await asyncio.sleep(10)
    assert len(kills(cluster)) == (misses > 1)


async def test_time_in_which_nobody_asked_is_no_time_to_start_in(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3.5)
    asyncio.get_running_loop().advance(LIMITS.restart_seconds)
    cluster.actors[0].state = "left"
    await asyncio.sleep(5)
    assert cluster.births == 1


async def test_one_beat_missed_while_it_starts_is_no_death(cluster, supervise):
    supervise(cluster)
    await asyncio.sleep(3.5)
    cluster.actors[0].state = "left"
    await asyncio.sleep(20)
    cluster.misses[0] = 1
    await asyncio.sleep(5)
    assert kills(cluster) == []


async def test_answers_are_forgotten_when_their_time_is_over(cluster, supervise, caplog):
    supervise(cluster)
    await asyncio.sleep(5)
    cluster.away = True
    await asyncio.sleep(LIMITS.forget_every_seconds)
    cluster.away = False
    assert ("actors.supervisor", logging.WARNING) in [entry[:2] for entry in caplog.record_tuples]
    await asyncio.sleep(LIMITS.forget_every_seconds)
    first, second = cluster.forgot_before
    assert second > first
    age = Clock()() - second
    assert timedelta(0) <= age - timedelta(hours=LIMITS.answers_kept_hours) < timedelta(minutes=10)


async def test_a_backlog_of_answers_is_forgotten_to_its_end_beside_the_beats(cluster, supervise):
    old = Clock()() - timedelta(hours=LIMITS.answers_kept_hours)
    young = old + timedelta(hours=1)
    cluster.answers = [old - timedelta(seconds=n) for n in range(1, 21)] + [young]
    cluster.forget_seconds = 10
    supervise(cluster)
    await asyncio.sleep(100)
    assert cluster.answers == [young]
    assert cluster.asked[0] >= 99
    assert len(cluster.forgot_before) == 8


async def test_what_is_left_of_a_backlog_is_forgotten_later(cluster, supervise, caplog):
    old = Clock()() - timedelta(hours=LIMITS.answers_kept_hours)
    cluster.answers = [old - timedelta(seconds=n) for n in range(1, 11)]
    cluster.forget_seconds = 10
    supervise(cluster)
    await asyncio.sleep(15)
    cluster.away = True
    await asyncio.sleep(10)
    cluster.away = False
    assert len(cluster.answers) == 4
    assert "forgotten later" in caplog.text
    await asyncio.sleep(LIMITS.forget_every_seconds + 30)
    assert cluster.answers == []


async def test_it_runs_until_it_is_cancelled(cluster):
    cluster.answers = [Clock()() - timedelta(days=3)]
    cluster.forget_seconds = 20
    running = asyncio.ensure_future(Supervisor([0], cluster, cluster, LIMITS, clock=Clock()).run())
    await asyncio.sleep(10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cluster.actors[0].state == "serving"
    assert len(cluster.answers) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
