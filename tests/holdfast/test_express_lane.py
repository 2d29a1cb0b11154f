"""Where the first shard's own server is looked for."""

import pytest

from holdfast.health import checks, express_url
from holdfast.settings import Settings
from storage.directory import Directory
from storage.postgres import Database
from storage.shard_store import Lease


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HOLDFAST_{name.upper()}", raising=False)


def _machine(database: str) -> Settings:
    return Settings(postgres_url=database, ray_address="10.0.0.1:6379", host="10.0.0.1")


async def test_on_a_cluster_it_is_where_its_owner_says_also_from_within_a_loop(database: str) -> None:
    ours = Database(database, "test", 1)
    try:
        directory = Directory(ours)
        await directory.seed(2)
        assert express_url(_machine(database)) == "http://10.0.0.1:8001"
        for shard_id, address in ((1, "10.0.0.3:40000"), (0, "10.0.0.2:8001")):
            await directory.set_address(Lease(shard_id, 0), address)
    finally:
        await ours.close()
    assert express_url(_machine(database)) == "http://10.0.0.2:8001"
    assert checks(_machine(database))["express lane"] == "http://10.0.0.2:8001/booking/healthz"


def test_a_database_that_is_away_makes_nobody_fail(free_port: int) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port}/none"
    assert express_url(_machine(away)) == "http://10.0.0.1:8001"


def test_on_one_machine_nobody_is_asked() -> None:
    assert express_url(Settings(host="0.0.0.0", express_port=9001)) == "http://127.0.0.1:9001"
