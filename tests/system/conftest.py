"""Whole Holdfasts for the tests that need the product up, one at a time: an idle one takes its share of two processors.

A test asks for `cluster` (embedded servers), `full_cluster` (real servers) or `place` (it runs on each in turn). Such
tests come after all others, those of one installation together, so that each is brought up once and is down again
before the next one.
"""

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
_EMBEDDED, _REAL = "embedded", "real-servers"
_ASKED_BY = {"cluster": [_EMBEDDED], "full_cluster": [_REAL], "place": [_EMBEDDED, _REAL]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, installations in _ASKED_BY.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize("installation", installations, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return [None, _EMBEDDED, _REAL].index(given.get("installation"))


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The one that `request.param` names, up."""
    data_dir = tmp_path_factory.mktemp(request.param) / "data"
    if request.param == _EMBEDDED:
        settings = free_settings(data_dir, accounts_per_address_per_hour=_ANY_NUMBER, sandbox_fee_basis_points=150)
    else:
        own_stack, postbox = request.getfixturevalue("own_stack"), request.getfixturevalue("postbox")
        settings = free_settings(
            data_dir,
            accounts_per_address_per_hour=_ANY_NUMBER,
            smtp_url=postbox.url,
            **_real_servers(own_stack),
        )
    yield from _running(settings)


@pytest.fixture(scope="session")
def cluster(installation: Running) -> Running:
    """On the embedded servers."""
    return installation


@pytest.fixture(scope="session")
def full_cluster(installation: Running) -> Running:
    """On real servers that no other test uses meanwhile, so that they may be stopped and killed."""
    return installation


@pytest.fixture(scope="session")
def place(installation: Running) -> Running:
    """On the embedded servers, and then on the real ones."""
    return installation


@pytest.fixture(scope="session")
def postbox() -> Iterator[Postbox]:
    """The mail server that the installation on real servers writes to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Postbox(probe.getsockname()[1])
    with smtp_server(made):
        yield made


def _real_servers(own_stack: RealServers) -> dict[str, str]:
    """Started, and as settings."""
    own_stack.start("kafka", "elasticsearch", "cassandra", "postgres", "postgres_replica", "valkey")
    lines = own_stack.settings.env_file.read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line.startswith("HOLDFAST_"))
    servers = {name.removeprefix("HOLDFAST_").lower(): " ".join(shlex.split(value)) for name, value in given.items()}
    del servers["data_dir"]
    return servers


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
