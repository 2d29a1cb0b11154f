import os
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.embedded_postgres import EmbeddedPostgresError
from holdfast.keeper import WAIT_LAST_SECONDS, Keeper, embedded_servers, read_keeper_file, write_keeper_file
from holdfast.own_processes import ProcessId, identify
from holdfast.settings import Settings


class Server:
    """Runs when started, unless told to fail; dies when told to."""

    def __init__(self, log: list[str] | None = None, name: str = "") -> None:
        self.starts: list[float] = []
        self.pid: int | None = None
        self.fails = False
        self.now = 0.0
        self._log = log if log is not None else []
        self._name = name

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        self.starts.append(self.now)
        self._log.append(f"start {self._name}")
        if self.fails:
            raise EmbeddedPostgresError("no")
        self.pid = 100 + len(self.starts)

    def stop(self) -> None:
        self._log.append(f"stop {self._name}")
        self.pid = None

    def die(self) -> None:
        self.pid = None


class Watch:
    """A keeper over one server, in a time of its own."""

    def __init__(self) -> None:
        self.server = Server()
        self.told: list[dict[str, int]] = []
        self.keeper = Keeper([("it", self.server)], clock=lambda: self.server.now, changed=self.told.append)

    def look(self, seconds: float) -> None:
        """Look every 10 ms for so long."""
        until = self.server.now + seconds
        while self.server.now < until:
            self.keeper.look()
            self.server.now = round(self.server.now + 0.01, 2)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_server_is_started_once_and_told(watch: Watch) -> None:
    watch.look(5)
    assert watch.server.starts == [0.0]
    assert watch.told == [{"it": 101}]


def test_a_server_that_dies_is_started_again_at_once(watch: Watch) -> None:
    watch.look(100)
    watch.server.die()
    watch.look(1)
    assert watch.server.starts == [0.0, 100.0]
    assert watch.told[-1] == {"it": 102}


def test_a_server_that_keeps_dying_is_tried_ever_less_often(watch: Watch) -> None:
    watch.server.fails = True
    watch.look(100)
    gaps = [later - earlier for earlier, later in pairwise(watch.server.starts)]
    assert gaps[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.02)
    assert gaps[-1] == pytest.approx(WAIT_LAST_SECONDS, abs=0.02)
    assert watch.told[-1] == {}


def test_a_server_that_was_steady_is_forgiven(watch: Watch) -> None:
    watch.server.fails = True
    watch.look(20)
    watch.server.fails = False
    watch.look(90)
    watch.server.die()
    died = watch.server.now
    watch.look(1)
    assert watch.server.starts[-1] == died


def test_one_servers_trouble_is_not_its_neighbours() -> None:
    broken, well = Server(), Server()
    broken.fails = True
    keeper = Keeper([("broken", broken), ("well", well)])
    keeper.look()
    assert keeper.pids == {"well": 101}


def test_servers_stop_in_the_reverse_order() -> None:
    log: list[str] = []
    keeper = Keeper([("rows", Server(log, "rows")), ("cache", Server(log, "cache"))])
    keeper.look()
    keeper.stop()
    assert log == ["start rows", "start cache", "stop cache", "stop rows"]


def test_the_keeper_of_a_folder_is_read_while_it_lives(tmp_path: Path) -> None:
    assert read_keeper_file(tmp_path) is None
    me = identify(os.getpid())
    assert me is not None
    write_keeper_file(tmp_path, me, {"postgres": 5})
    found = read_keeper_file(tmp_path)
    assert found is not None
    assert (found.keeper, found.servers) == (me, {"postgres": 5})


def test_a_keeper_that_died_is_not_mistaken_for_who_has_its_number_now(tmp_path: Path) -> None:
    me = identify(os.getpid())
    assert me is not None
    write_keeper_file(tmp_path, ProcessId(me.pid, me.started - 1), {"postgres": 5})
    assert read_keeper_file(tmp_path) is None


def test_servers_that_somebody_else_runs_are_not_started(tmp_path: Path) -> None:
    assert [name for name, _ in embedded_servers(Settings(data_dir=tmp_path))] == ["postgres", "valkey"]
    elsewhere = Settings(data_dir=tmp_path, postgres_url="postgresql://db/x", redis_url="redis://cache/0")
    assert embedded_servers(elsewhere) == []
