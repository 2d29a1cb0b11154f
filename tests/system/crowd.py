"""A crowd of clients that books without pause in a process of its own and keeps the list of what was acknowledged."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench.load import LoadPlan, LoadResult, bearer, booking_path
from bench.workload import booking_bodies
from holdfast.ray_head import root_of_code
from tests.system.guests_and_houses import guest, restaurant, soon
from tests.system.running import Running

CLIENTS = 32
SECONDS_MAX = 150


class Crowd:
    """Starts at once and goes on for `seconds`; a request whose connection broke is sent again under the same key."""

    def __init__(self, cluster: Running, base: str, folder: Path, seconds: float) -> None:
        with cluster.client() as client:
            vendors = [restaurant(client, tables=20).account_id for _ in range(8)]
            tokens = [guest(client).token for _ in range(8)]
        host, _, port = base.removeprefix("http://").partition(":")
        plan = LoadPlan(
            host=host,
            port=int(port),
            clients=CLIENTS,
            seconds=seconds,
            paths=[booking_path(vendor) for vendor in vendors],
            headers=[bearer(token) for token in tokens],
            bodies=[body for body in booking_bodies(soon()) if '"party_size": 6' not in body],
            warmup_seconds=0.0,
        )
        self._result = folder / "result.json"
        plan_path = folder / "plan.json"
        plan_path.write_text(json.dumps(asdict(plan)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", str(plan_path), str(self._result)], cwd=root_of_code()
        )

    def finish(self) -> LoadResult:
        """Wait for the end and hear what the clients were told."""
        assert self._process.wait(SECONDS_MAX) == 0
        return LoadResult(**json.loads(self._result.read_text()))

    def end(self) -> None:
        """Stop it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
