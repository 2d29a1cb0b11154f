"""Starting and ending the processes of a benchmark, each by its own process id, and waiting for them by condition."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx

from bench.load import LoadPlan, LoadResult

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], extra_environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of our own for as long as the block runs."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **extra_environment},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes], patience_seconds: float = 10.0) -> None:
    """Ask the process and its children to stop, then make them."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and sign is signal.SIGTERM:
            continue
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait(patience_seconds)


def wait_until_healthy(
    url: str, process: subprocess.Popen[bytes] | None = None, patience_seconds: float = 30.0
) -> None:
    """Until the address answers 200."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the server at {url} ended with code {process.returncode} before it was healthy")
        try:
            if httpx.get(url, timeout=1.0).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{url} was not healthy within {patience_seconds} s")


def drive_in_own_process(plan: LoadPlan) -> LoadResult:
    """Run the load client beside us and read what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        plan_path, result_path = Path(folder, "plan.json"), Path(folder, "result.json")
        plan_path.write_text(json.dumps(asdict(plan)))
        patience_seconds = plan.warmup_seconds + plan.seconds + 3 * plan.give_up_seconds
        subprocess.run(
            [sys.executable, "-m", "bench.load", str(plan_path), str(result_path)],
            cwd=ROOT,
            check=True,
            timeout=patience_seconds,
        )
        return LoadResult(**json.loads(result_path.read_text()))
