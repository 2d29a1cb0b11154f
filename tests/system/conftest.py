"""Whole Holdfasts for the tests that need the product up; each is brought up by the first test that asks for it."""

import shlex
import socket
from collections.abc import Iterator

import pytest

from holdfast.ray_head import ray_dir
from holdfast.settings import Settings
from tests.consumers.smtp_server import Postbox, smtp_server
from tests.stack import RealServers
from tests.system.running import Running, free_settings

_ANY_NUMBER = 1_000_000


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """On the embedded servers."""
    folder = tmp_path_factory.mktemp("cluster")
    yield from _running(
        free_settings(folder / "data", accounts_per_address_per_hour=_ANY_NUMBER, sandbox_fee_basis_points=150)
    )


@pytest.fixture(scope="session")
def postbox() -> Iterator[Postbox]:
    """The mail server that `full_cluster` writes to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Postbox(probe.getsockname()[1])
    with smtp_server(made):
        yield made


@pytest.fixture(scope="session")
def full_cluster(
    own_stack: RealServers, postbox: Postbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """On real servers that no other test uses, so that they may be stopped and killed."""
    own_stack.start("kafka", "elasticsearch", "cassandra", "postgres", "postgres_replica", "valkey")
    lines = own_stack.settings.env_file.read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line.startswith("HOLDFAST_"))
    servers = {name.removeprefix("HOLDFAST_").lower(): " ".join(shlex.split(value)) for name, value in given.items()}
    del servers["data_dir"]
    folder = tmp_path_factory.mktemp("full")
    yield from _running(
        free_settings(folder / "data", accounts_per_address_per_hour=_ANY_NUMBER, smtp_url=postbox.url, **servers)
    )


def _running(settings: Settings) -> Iterator[Running]:
    running = Running(settings)
    started = running.command("up")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield running
    finally:
        stopped = running.command("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert running.processes() == []
    assert not ray_dir(settings).exists()
