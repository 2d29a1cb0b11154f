"""One whole Holdfast for all tests that need the product up; it is brought up by the first of them."""

import shutil
from collections.abc import Iterator

import pytest

from holdfast.ray_head import ray_dir
from tests.system.running import Running, free_settings


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = free_settings(tmp_path_factory.mktemp("cluster") / "data", accounts_per_address_per_hour=1_000_000)
    running = Running(settings)
    started = running.command("up")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield running
    finally:
        stopped = running.command("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert running.processes() == []
    shutil.rmtree(ray_dir(settings))
