"""Whether settings fit the database that they are used on, before anything is started on it."""

import asyncpg
import pytest

from holdfast.database_ready import DatabaseNotReadyError, make_ready
from holdfast.ray_head import ray_dir
from holdfast.settings import Settings
from storage.directory import Directory
from storage.postgres import Database
from tests.databases import drop_database
from tests.system.running import Running, free_settings


def _settings(tmp_path, database, shards):
    return Settings(data_dir=tmp_path, postgres_url=database, shards=shards)


def _up(product):
    """What `up` says; should it come up after all, it is brought down."""
    result = product.command("up")
    if result.returncode == 0:
        product.command("down")
    return result


async def test_every_shard_of_a_new_database_gets_buckets(tmp_path, database):
    assert await make_ready(_settings(tmp_path, database, 3)) == ""
    assert await make_ready(_settings(tmp_path, database, 3)) == ""


async def test_an_empty_database_is_prepared_without_a_word(tmp_path, postgres, caplog):
    admin = await asyncpg.connect(postgres.url)
    await admin.execute("CREATE DATABASE holdfast_empty")
    try:
        settings = _settings(tmp_path, postgres.url_of("holdfast_empty"), 1)
        assert await make_ready(settings) == ""
        assert caplog.records == []
        opened = Database(settings.postgres_url, "test", 1)
        assert [row.buckets for row in await Directory(opened).shards()] == [4096]
        await opened.close()
        await drop_database(admin, "holdfast_empty")
    finally:
        await admin.close()


async def test_fewer_shards_than_hold_buckets_are_refused(tmp_path, database):
    await make_ready(_settings(tmp_path, database, 2))
    with pytest.raises(DatabaseNotReadyError) as refused:
        await make_ready(_settings(tmp_path, database, 1))
    said = str(refused.value)
    assert "2,048 of 4,096 buckets belong to shard 1" in said
    assert "HOLDFAST_SHARDS=1 does not start" in said
    assert said.endswith(
        "Set HOLDFAST_SHARDS=2 and try again; once it is up, `holdfast rebalance --shards 1` moves them"
    )
    assert database not in said


async def test_one_bucket_is_enough_to_be_refused(tmp_path, database):
    await make_ready(_settings(tmp_path, database, 1))
    await make_ready(_settings(tmp_path, database, 4))
    opened = Database(database, "test", 1)
    await Directory(opened).move_buckets({7: 3})
    await opened.close()
    with pytest.raises(DatabaseNotReadyError, match=r"1 of 4,096 buckets belong to shard 3,.*Set HOLDFAST_SHARDS=4 "):
        await make_ready(_settings(tmp_path, database, 2))


async def test_shards_without_buckets_are_named_and_may_be_given_up_again(tmp_path, database):
    await make_ready(_settings(tmp_path, database, 2))
    note = await make_ready(_settings(tmp_path, database, 4))
    assert note == (
        "shards 2..3 will serve no vendor: all 4,096 buckets are with shards 0..1; `holdfast rebalance` spreads them"
    )
    assert await make_ready(_settings(tmp_path, database, 2)) == ""


async def test_a_database_that_does_not_answer_is_said_to_be_away(tmp_path, free_port):
    url = f"postgresql://holdfast:geheim@127.0.0.1:{free_port}/holdfast"
    with pytest.raises(DatabaseNotReadyError, match="HOLDFAST_POSTGRES_URL was not prepared") as refused:
        await make_ready(_settings(tmp_path, url, 1))
    assert "geheim" not in str(refused.value)


async def test_up_refuses_before_ray_and_leaves_nothing_running(tmp_path, database):
    await make_ready(_settings(tmp_path, database, 2))
    product = Running(free_settings(tmp_path / "data", postgres_url=database, shards=1))
    result = _up(product)
    assert result.returncode == 1
    assert "Set HOLDFAST_SHARDS=2 and try again" in " ".join(result.stderr.split())
    assert "starting valkey" in result.stdout
    assert "starting Ray" not in result.stdout
    assert product.processes() == []


async def test_up_says_which_shards_hold_nothing_and_goes_on(tmp_path, database):
    await make_ready(_settings(tmp_path, database, 1))
    product = Running(free_settings(tmp_path / "data", postgres_url=database, shards=2))
    forbidden = ray_dir(product.settings)
    forbidden.mkdir(mode=0o755)  # so that Ray is refused, which is as far as this test needs to go
    try:
        result = _up(product)
    finally:
        forbidden.rmdir()
    assert "shard 1 will serve no vendor: all 4,096 buckets are with shard 0" in result.stdout
    assert "only this user can enter" in " ".join(result.stderr.split())
    assert product.processes() == []
