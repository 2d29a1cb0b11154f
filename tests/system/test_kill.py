"""kill -9 and SIGSTOP under the load of 32 clients: booking goes on, and nothing that was acknowledged is missing."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from bench.load import LoadResult
from bench.proof import prove
from holdfast.keeper import read_keeper_file
from holdfast.operator_api import operator_token
from holdfast.own_processes import identify
from holdfast.store_urls import postgres_url
from tests.system.crowd import Crowd
from tests.system.running import Running, wait_for

_log = logging.getLogger(__name__)
pytestmark = pytest.mark.cluster

SECONDS = 16.0
BACK_WITHIN_SECONDS = 10.0
WARM_BOOKINGS = 200


def shard(cluster: Running) -> dict[str, object]:
    """The first shard as the operator sees it; nothing is known of it while the database is away."""
    token = operator_token(cluster.settings, timedelta(minutes=5))
    try:
        answer = httpx.get(
            f"{cluster.gateway}/operator/shards",
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx.HTTPError:
        return {"pid": None, "epoch": 0, "bookings": None}
    found: dict[str, object] = answer.json()["items"][0]
    return found


def postgres_pid(cluster: Running) -> int | None:
    keeper = read_keeper_file(cluster.settings.data_dir)
    return None if keeper is None else keeper.servers.get("postgres")


@contextmanager
def crowd_at_work(cluster: Running, way_in: str, folder: Path) -> Iterator[Crowd]:
    """From when the shard has written a few hundred of the crowd's bookings."""
    before = shard(cluster)["bookings"] or 0
    crowd = Crowd(cluster, getattr(cluster, way_in), folder, SECONDS)
    try:
        wait_for(lambda: (shard(cluster)["bookings"] or 0) > before + WARM_BOOKINGS, "the crowd to get going")
        yield crowd
    finally:
        crowd.end()


def nothing_is_lost(cluster: Running, result: LoadResult) -> None:
    _log.info("the crowd saw %s", result.figures())
    assert result.unanswered == 0, result.figures()
    assert result.silence_seconds < BACK_WITHIN_SECONDS, result.figures()
    assert set(result.statuses) <= {"201", "409", "503"}, result.figures()
    assert len(result.accepted) > WARM_BOOKINGS
    proof = asyncio.run(prove("the product", postgres_url(cluster.settings), result.accepted))
    assert proof.faults == ()
    verified = cluster.command("verify")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("way_in", ["express", "gateway"])
def test_kill_9_of_the_shards_process(cluster: Running, way_in: str, tmp_path: Path) -> None:
    with crowd_at_work(cluster, way_in, tmp_path) as crowd:
        killed = shard(cluster)
        os.kill(int(str(killed["pid"])), signal.SIGKILL)
        result = crowd.finish()
    now = shard(cluster)
    assert now["pid"] != killed["pid"]
    assert int(str(now["epoch"])) > int(str(killed["epoch"]))
    if way_in == "express":
        assert result.lost >= 1, "the crowd never noticed"
    nothing_is_lost(cluster, result)


@pytest.mark.parametrize("way_in", ["express", "gateway"])
def test_kill_9_of_postgres(cluster: Running, way_in: str, tmp_path: Path) -> None:
    with crowd_at_work(cluster, way_in, tmp_path) as crowd:
        killed = postgres_pid(cluster)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        result = crowd.finish()
    assert postgres_pid(cluster) not in {None, killed}
    nothing_is_lost(cluster, result)


def test_an_owner_that_hangs_is_replaced_and_does_not_come_back(cluster: Running, tmp_path: Path) -> None:
    with crowd_at_work(cluster, "express", tmp_path) as crowd:
        hung = shard(cluster)
        pid = int(str(hung["pid"]))
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: shard(cluster)["pid"] not in {None, pid}, "another owner", seconds_max=BACK_WITHIN_SECONDS)
        if identify(pid) is not None:
            os.kill(pid, signal.SIGCONT)
        result = crowd.finish()
    wait_for(lambda: identify(pid) is None, "the old owner to be gone")
    now = shard(cluster)
    assert now["express_address"] == f"127.0.0.1:{cluster.settings.express_port}"
    assert int(str(now["epoch"])) > int(str(hung["epoch"]))
    nothing_is_lost(cluster, result)
