"""The runtime over a log, a handler and a place to park that may each be away, in virtual time."""

import asyncio
from dataclasses import dataclass

import pytest

from consumers.runtime import ConsumerRuntime, RuntimeLimits
from storage.errors import StoreUnavailable
from storage.event_log import Message, Topic
from tests.fakes.memory_event_log import MemoryEventLog
from tests.fakes.memory_parked import MemoryParked

pytestmark = pytest.mark.virtual_time

GROUP = "notifier"
TOPICS = (Topic.NEW_BOOKING, Topic.BOOKING_CANCELLED)
LIMITS = RuntimeLimits(parked_max=3, tries_max=3)


@dataclass(frozen=True)
class Told:
    event_id: str


def decode(message):
    if message.value.startswith(b"{"):
        raise ValueError(f"nobody understands {message.value!r}")
    return Told(message.value.decode())


class Effects:
    """A handler over a store of its own: a call takes effect as a whole or not at all, an event once."""

    topics = TOPICS

    def __init__(self):
        self.away = False
        self.poison = set()
        self.done = []
        self.calls = []
        self.slow_seconds = 0.0
        self.on_effect = lambda: None

    async def handle(self, events):
        self.calls.append([event.event_id for event in events])
        await asyncio.sleep(self.slow_seconds)
        if self.away:
            raise StoreUnavailable("effects: away")
        overlay = list(self.done)
        for event in events:
            if event.event_id in self.poison:
                raise KeyError(event.event_id)
            if event.event_id not in overlay:
                overlay.append(event.event_id)
        self.done = overlay
        self.on_effect()
        await asyncio.sleep(0)


class Desk:
    """The log, the effects and what is parked, and the runtimes that a test starts over them."""

    def __init__(self):
        self.log = MemoryEventLog()
        self.effects = Effects()
        self.parked = MemoryParked()
        self.runs = []

    async def tell(self, *names, topic=Topic.NEW_BOOKING, key="one key"):
        await self.log.append([Message(topic, key, name.encode()) for name in names])

    def start(self, limits=LIMITS):
        reader = self.log.reader(GROUP, TOPICS)
        runtime = ConsumerRuntime(GROUP, reader, self.effects, self.parked, decode=decode, limits=limits)
        runtime.reader = reader
        runtime.task = asyncio.create_task(runtime.run())
        self.runs.append(runtime)
        return runtime

    def kill(self, runtime):
        """kill -9: nothing of it runs any more, and its group learns that it is gone."""
        runtime.task.cancel()
        self.log.forget(runtime.reader)

    @property
    def lag(self):
        return sum(len(rows) - self.log.where(GROUP, place) for place, rows in self.log.rows.items())

    async def until(self, true, what, seconds_max=300.0):
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds_max
        while not true():
            assert loop.time() < deadline, f"waited {seconds_max} s for {what}"
            for runtime in self.runs:
                if runtime.task.done() and not runtime.task.cancelled():
                    runtime.task.result()
            await asyncio.sleep(0.01)

    async def until_read(self):
        await self.until(lambda: self.lag == 0, "everything to be committed")

    def waiting(self):
        return [row.message.value.decode() for row in self.parked.rows.values() if row.settled_at is None]


@pytest.fixture
async def desk():
    desk = Desk()
    yield desk
    desk.log.away = desk.parked.away = desk.effects.away = False
    for runtime in desk.runs:
        runtime.stop()
    await asyncio.gather(*(runtime.task for runtime in desk.runs), return_exceptions=True)


def names(number, prefix="e"):
    return [f"{prefix}{n}" for n in range(number)]


async def test_what_is_in_the_log_and_what_comes_takes_effect_in_order(desk):
    await desk.tell("a", "b")
    runtime = desk.start()
    await desk.until_read()
    await desk.tell("c")
    await desk.until_read()
    assert desk.effects.done == ["a", "b", "c"]
    assert desk.effects.calls == [["a", "b"], ["c"]]
    await desk.until(lambda: runtime.state.lag == 0, "the lag to be measured")
    assert (runtime.state.name, runtime.state.state, runtime.state.handled) == (GROUP, "reading", 3)
    assert (runtime.state.parked, runtime.state.last_error) == (0, "")


async def test_a_batch_is_not_larger_than_it_may_be(desk):
    await desk.tell(*names(7))
    desk.start(RuntimeLimits(batch_messages_max=3))
    await desk.until_read()
    assert [len(call) for call in desk.effects.calls] == [3, 3, 1]


async def test_nothing_is_committed_before_the_effect(desk):
    seen = []
    desk.effects.on_effect = lambda: seen.append((len(desk.effects.done), list(desk.log.commits)))
    await desk.tell(*names(6))
    desk.start(RuntimeLimits(batch_messages_max=2))
    await desk.until_read()
    assert [(done, sum(1 for _ in commits) if not commits else commits[-1][2]) for done, commits in seen] == [
        (2, 0),
        (4, 2),
        (6, 4),
    ]


async def test_an_event_that_is_delivered_twice_takes_effect_once(desk):
    await desk.tell("a", "a", "b", "a")
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a", "b"]


async def test_a_replay_from_the_beginning_changes_nothing(desk):
    await desk.tell(*names(5))
    desk.start()
    await desk.until_read()
    before = list(desk.effects.done)
    desk.log.from_the_beginning(GROUP)
    assert desk.lag == 5
    await desk.until_read()
    assert desk.effects.done == before
    assert len(desk.effects.calls) == 2


@pytest.mark.parametrize("store", ["effects", "log", "parked"])
async def test_a_store_that_is_away_for_an_hour_parks_nothing(desk, store):
    runtime = desk.start()
    await desk.tell("a")
    await desk.until_read()
    getattr(desk, store).away = True
    if store != "log":
        await desk.tell("b", "c")
    await desk.until(lambda: runtime.state.state.startswith("paused: "), "a pause")
    tries = len(desk.effects.calls)
    await asyncio.sleep(3600)
    assert runtime.state.state.startswith("paused: ")
    assert "away" in runtime.state.last_error
    assert len(desk.effects.calls) - tries <= 3600 / LIMITS.pause_last_seconds + 10
    getattr(desk, store).away = False
    await desk.tell("d")
    await desk.until_read()
    assert desk.effects.done == (["a", "d"] if store == "log" else ["a", "b", "c", "d"])
    assert desk.parked.rows == {}
    await desk.until(lambda: runtime.state.state == "reading", "the pause to end")


async def test_it_is_back_soon_after_a_short_absence(desk):
    desk.effects.away = True
    await desk.tell("a")
    runtime = desk.start()
    await desk.until(lambda: runtime.state.state.startswith("paused: "), "a pause")
    desk.effects.away = False
    started = asyncio.get_running_loop().time()
    await desk.until_read()
    assert asyncio.get_running_loop().time() - started < 1


async def test_the_lag_is_known_while_it_pauses(desk):
    desk.effects.away = True
    await desk.tell(*names(5))
    runtime = desk.start()
    await desk.until(lambda: runtime.state.state.startswith("paused: "), "a pause")
    await desk.tell(*names(4, "later"))
    await desk.until(lambda: runtime.state.lag == 9, "the lag to grow")
    desk.log.away = True
    await desk.until(lambda: runtime.state.lag is None, "the lag to be unknown")


async def test_a_handler_that_takes_for_ever_is_a_store_that_is_away(desk):
    desk.effects.slow_seconds = 1e6
    await desk.tell("a")
    runtime = desk.start()
    await desk.until(lambda: "no effect within 120 s" in runtime.state.state, "a pause")
    desk.effects.slow_seconds = 0.0
    await desk.until_read()
    assert desk.effects.done == ["a"]
    assert desk.parked.rows == {}


async def test_a_handlers_own_time_out_is_held_against_the_event(desk):
    async def late(events):
        raise TimeoutError("the handler's own")

    desk.effects.handle = late
    await desk.tell("a")
    desk.start()
    await desk.until_read()
    assert desk.waiting() == ["a"]


@pytest.mark.parametrize("place", [0, 3, 6])
async def test_poison_alone_is_parked_and_its_neighbours_take_effect(desk, place):
    told = names(7)
    desk.effects.poison = {told[place]}
    await desk.tell(*told)
    runtime = desk.start()
    await desk.until_read()
    assert desk.effects.done == [name for name in told if name != told[place]]
    assert desk.waiting() == [told[place]]
    [row] = desk.parked.rows.values()
    assert row.tries == LIMITS.tries_max
    assert f"KeyError: '{told[place]}'" in row.error
    assert "in handle" in row.error
    assert desk.effects.calls.count([told[place]]) == LIMITS.tries_max
    assert (runtime.state.parked, runtime.state.handled) == (1, 6)


async def test_an_event_that_fails_once_is_not_poison(desk):
    real, failed = desk.effects.handle, []

    async def flaky(events):
        if Told("b") in events and len(failed) < 2:
            failed.append(events)
            raise RuntimeError("not this time")
        await real(events)

    desk.effects.handle = flaky
    await desk.tell("a", "b", "c")
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a", "b", "c"]
    assert len(failed) == 2
    assert desk.parked.rows == {}


async def test_what_nobody_understands_is_parked_at_once_and_never_handled(desk):
    await desk.tell("a", "{broken", "b")
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a", "b"]
    assert desk.effects.calls == [["a", "b"]]
    [row] = desk.parked.rows.values()
    assert (row.message.value, row.tries) == (b"{broken", 1)
    assert "nobody understands" in row.error


async def test_a_batch_of_nothing_but_poison(desk):
    await desk.tell("{1", "{2")
    desk.start()
    await desk.until_read()
    assert desk.effects.calls == []
    assert desk.waiting() == ["{1", "{2"]


async def test_an_error_that_never_ends_is_kept_short(desk):
    async def loud(events):
        raise ValueError("x" * 100_000)

    desk.effects.handle = loud
    await desk.tell("a")
    runtime = desk.start()
    await desk.until_read()
    [row] = desk.parked.rows.values()
    assert len(row.error) <= 4000
    assert len(runtime.state.last_error) <= 4000


async def test_a_store_that_goes_away_in_mid_search_for_the_poison_parks_only_the_poison(desk):
    real = desk.effects.handle
    desk.effects.poison = {"c"}

    async def handle(events):
        if [Told("b")] == list(events) and Told("b") not in seen:
            seen.append(Told("b"))
            desk.effects.away = True
            asyncio.get_running_loop().call_later(60, lambda: setattr(desk.effects, "away", False))
        await real(events)

    seen = []
    desk.effects.handle = handle
    await desk.tell("a", "b", "c", "d")
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a", "b", "d"]
    assert desk.waiting() == ["c"]


async def test_too_many_parked_messages_stop_the_consumer_until_enough_are_dropped(desk):
    desk.effects.poison = set(names(10, "bad"))
    await desk.tell("good", *names(10, "bad"), "last")
    runtime = desk.start()
    await desk.until(lambda: runtime.state.state.startswith("stopped: "), "the stop")
    assert runtime.state.state == "stopped: 4 messages are parked, 3 at most may be"
    await asyncio.sleep(600)
    assert desk.waiting() == names(4, "bad")
    assert desk.effects.done == ["good"]
    assert desk.lag == 7
    calls = len(desk.effects.calls)
    await desk.parked.drop(1)
    await desk.until(lambda: len(desk.waiting()) == 4 and runtime.state.state.startswith("stopped"), "the next stop")
    assert len(desk.effects.calls) > calls
    desk.effects.poison = set()
    await desk.parked.drop(2)
    await desk.until_read()
    assert desk.effects.done == ["good", *names(10, "bad")[5:], "last"]
    assert runtime.state.state == "reading"


async def test_it_does_not_start_where_too_much_was_parked_before(desk):
    desk.effects.poison = set(names(4, "bad"))
    await desk.tell(*names(4, "bad"))
    first = desk.start()
    await desk.until(lambda: first.state.state.startswith("stopped: "), "the stop")
    first.stop()
    await first.task
    await desk.tell("good")
    second = desk.start()
    await asyncio.sleep(60)
    assert second.state.state.startswith("stopped: ")
    assert desk.effects.done == []


async def test_a_replay_goes_through_the_same_handler(desk):
    desk.effects.poison = {"b"}
    await desk.tell("a", "b", "c")
    runtime = desk.start()
    await desk.until_read()
    await desk.parked.ask_replay(1)
    await desk.until(lambda: desk.parked.rows[1].replay_asked_at is None, "the replay")
    assert desk.waiting() == ["b"]
    assert desk.parked.rows[1].tries == 2 * LIMITS.tries_max
    desk.effects.poison = set()
    await desk.parked.ask_replay(1)
    await desk.until(lambda: desk.waiting() == [], "the replay")
    assert desk.effects.done == ["a", "c", "b"]
    assert desk.parked.rows[1].settled_how == "replayed"
    await desk.until(lambda: runtime.state.parked == 0, "the count to follow")


async def test_replays_of_what_nobody_understands_wait_on(desk):
    await desk.tell("{broken")
    desk.start()
    await desk.until_read()
    await desk.parked.ask_replay(1)
    await desk.until(lambda: desk.parked.rows[1].tries == 2, "the replay")
    assert desk.waiting() == ["{broken"]


async def test_replays_end_a_stop(desk):
    desk.effects.poison = set(names(4, "bad"))
    await desk.tell(*names(4, "bad"), "good")
    runtime = desk.start()
    await desk.until(lambda: runtime.state.state.startswith("stopped: "), "the stop")
    desk.effects.poison = set()
    assert await desk.parked.ask_replay_of_all(GROUP) == 4
    await desk.until_read()
    assert sorted(desk.effects.done) == [*names(4, "bad"), "good"]
    assert desk.waiting() == []


async def test_a_store_that_is_away_leaves_a_replay_asked_for(desk):
    desk.effects.poison = {"a"}
    await desk.tell("a")
    runtime = desk.start()
    await desk.until_read()
    desk.effects.poison, desk.effects.away = set(), True
    await desk.parked.ask_replay(1)
    await desk.until(lambda: runtime.state.state.startswith("paused: "), "a pause")
    assert desk.parked.rows[1].replay_asked_at is not None
    desk.effects.away = False
    await desk.until(lambda: desk.waiting() == [], "the replay")


async def test_a_stop_finishes_the_batch_in_hand_and_leaves_the_group(desk):
    desk.effects.slow_seconds = 30.0
    await desk.tell(*names(6))
    runtime = desk.start(RuntimeLimits(batch_messages_max=4))
    await desk.until(lambda: desk.effects.calls, "a batch in hand")
    runtime.stop()
    await runtime.task
    assert desk.effects.done == names(4)
    assert desk.lag == 2
    assert runtime.reader.closed
    assert runtime.state.state == "left"


async def test_a_stop_while_it_pauses_is_quick_and_loses_nothing(desk):
    desk.effects.away = True
    await desk.tell("a")
    runtime = desk.start()
    await asyncio.sleep(600)
    loop = asyncio.get_running_loop()
    started = loop.time()
    runtime.stop()
    await runtime.task
    assert loop.time() - started < 1
    assert desk.lag == 1
    desk.effects.away = False
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a"]


async def test_a_stop_between_the_tries_of_an_event_parks_nothing(desk):
    desk.effects.poison = {"b"}
    await desk.tell("a", "b")
    runtime = desk.start(RuntimeLimits(try_rest_first_seconds=10, try_rest_last_seconds=10))
    await desk.until(lambda: ["b"] in desk.effects.calls, "the first try")
    runtime.stop()
    await runtime.task
    assert desk.parked.rows == {}
    assert desk.lag > 0


async def test_a_stop_among_failing_events_keeps_what_was_done(desk):
    desk.effects.poison = {"e9"}
    desk.effects.slow_seconds = 1.0
    await desk.tell(*names(10))
    runtime = desk.start()
    await desk.until(lambda: len(desk.effects.calls) == 4, "the third event alone")
    runtime.stop()
    await runtime.task
    assert desk.lag == 7
    desk.start()
    await desk.until_read()
    assert desk.effects.done == names(9)


async def test_a_crash_between_effect_and_commit_brings_the_batch_again_and_changes_nothing(desk):
    await desk.tell(*names(4))
    first = desk.start()
    desk.effects.on_effect = lambda: desk.kill(first)
    await desk.until(first.task.done, "the crash")
    assert desk.effects.done == names(4)
    assert desk.lag == 4
    desk.effects.on_effect = lambda: None
    desk.start()
    await desk.until_read()
    assert desk.effects.calls == [names(4), names(4)]
    assert desk.effects.done == names(4)


async def test_a_crash_between_parking_and_commit_parks_once(desk):
    desk.effects.poison = {"b"}
    await desk.tell("a", "b", "c")
    first = desk.start()
    real = desk.parked.park

    async def park_and_die(*args):
        await real(*args)
        desk.kill(first)

    desk.parked.park = park_and_die
    await desk.until(first.task.done, "the crash")
    desk.parked.park = real
    desk.start()
    await desk.until_read()
    assert desk.effects.done == ["a", "c"]
    assert desk.waiting() == ["b"]


async def test_a_rebalance_in_mid_batch_changes_nothing(desk):
    """The batch in hand goes to the new member as well: its effect comes twice, its commit once."""
    for number in range(40):
        await desk.tell(f"e{number}", key=f"key {number}", topic=TOPICS[number % 2])
    desk.effects.slow_seconds = 5.0
    desk.start(RuntimeLimits(batch_messages_max=10))
    await desk.until(lambda: desk.effects.calls, "a batch in hand")
    second = desk.start(RuntimeLimits(batch_messages_max=10))
    await desk.until_read()
    assert sorted(desk.effects.done) == sorted(names(40))
    assert second.state.handled > 0
    assert sum(map(len, desk.effects.calls)) > 40, "nothing came twice, so that nothing was proved"


async def test_a_member_that_leaves_gives_its_share_to_the_others(desk):
    first, second = desk.start(), desk.start()
    await desk.tell("a", key="k")
    await desk.until_read()
    first.stop()
    await first.task
    for number in range(20):
        await desk.tell(f"e{number}", key=f"key {number}")
    await desk.until_read()
    assert second.state.handled >= 20


async def test_what_no_store_and_no_event_is_to_blame_for_ends_the_run(desk):
    runtime = desk.start()

    async def broken(messages_max, wait_seconds):
        raise ZeroDivisionError

    runtime.reader.poll = broken
    desk.runs.clear()
    with pytest.raises(ZeroDivisionError):
        await runtime.task
    assert runtime.reader.closed
    assert runtime.state.state == "left"


async def test_rests_and_clock_may_be_given(desk):
    rests = []

    async def rest(seconds):
        rests.append(seconds)
        if len(rests) == 8:
            desk.effects.away = False

    desk.effects.away = True
    await desk.tell("a")
    reader = desk.log.reader(GROUP, TOPICS)
    runtime = ConsumerRuntime(
        GROUP, reader, desk.effects, desk.parked, decode=decode, limits=LIMITS, rest=rest, clock=lambda: 0.0
    )
    task = asyncio.create_task(runtime.run())
    await desk.until_read()
    runtime.stop()
    await task
    assert rests == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
