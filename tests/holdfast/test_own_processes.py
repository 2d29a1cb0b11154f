import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.own_processes import MARK, ProcessId, alive, end, identify, ours, parent_of, send

NO_FOLDER = Path("/nonexistent")
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
WILLING = "import signal; print('up', flush=True); signal.pause()"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process with the given mark and title; it has printed `up` when this returns."""
    started: list[subprocess.Popen[bytes]] = []

    def starting(script: str, mark: str = "", title: str = sys.executable) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [title, "-c", script],
            executable=sys.executable,
            env={name: value for name, value in os.environ.items() if name != MARK} | ({MARK: mark} if mark else {}),
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield starting
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _identified(process: subprocess.Popen[bytes]) -> ProcessId:
    found = identify(process.pid)
    assert found is not None
    return found


def test_only_processes_with_the_mark_are_ours(start: Start) -> None:
    mark = secrets.token_hex(4)
    marked, other, _none = start(WILLING, mark), start(WILLING, f"{mark}0"), start(WILLING)
    assert [process.pid for process in ours(mark, NO_FOLDER)] == [marked.pid]
    assert [process.pid for process in ours(f"{mark}0", NO_FOLDER)] == [other.pid]


def test_children_of_ours_are_ours(start: Start) -> None:
    mark = secrets.token_hex(4)
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WILLING!r}])"
    parent = start(nested, mark)
    found = {process.pid for process in ours(mark, NO_FOLDER)}
    assert len(found) == 2
    (child,) = found - {parent.pid}
    assert parent_of(child) == parent.pid
    os.kill(child, signal.SIGKILL)


def test_an_agent_that_wiped_its_mark_is_known_by_title_and_open_file(start: Start, tmp_path: Path) -> None:
    holding = f"log = open({str(tmp_path / 'agent.log')!r}, 'w'); {WILLING}"
    agent, _other = start(holding, title="ray::SomeAgent"), start(holding)
    assert [found.pid for found in ours("any", tmp_path)] == [agent.pid]
    assert ours("any", tmp_path / "elsewhere") == []


def test_a_number_that_belongs_to_another_now_is_not_signalled(start: Start) -> None:
    process = start(WILLING)
    there = _identified(process)
    before = ProcessId(there.pid, there.started - 1)
    assert not alive(before)
    assert not send(before, signal.SIGKILL)
    assert alive(there)


def test_a_process_whose_exit_nobody_collected_is_not_alive(start: Start) -> None:
    process = start(WILLING)
    there = _identified(process)
    assert send(there, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identify(process.pid) is None
    assert not send(there, signal.SIGTERM)


def test_the_willing_end_by_themselves_and_the_stubborn_are_made_to(start: Start) -> None:
    mark = secrets.token_hex(4)
    willing, stubborn = start(WILLING, mark), start(STUBBORN, mark)
    killed = end(lambda: ours(mark, NO_FOLDER), grace_seconds=0.5)
    assert [process.pid for process in killed] == [stubborn.pid]
    assert willing.wait() == -signal.SIGTERM
    assert stubborn.wait() == -signal.SIGKILL
    assert ours(mark, NO_FOLDER) == []


def test_nothing_to_end_takes_no_time() -> None:
    assert end(list, grace_seconds=60) == []
