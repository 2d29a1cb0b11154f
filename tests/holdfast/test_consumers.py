"""Every consumer process is put together from the settings, does its work on Postgres alone, and says how it fares."""

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumers.consumer import CONSUMERS
from holdfast import consumers, status
from holdfast.settings import Settings
from storage.consumer_states import ConsumerRow, ConsumerStates
from storage.postgres import Database
from storage.shard_store import Owner
from tests.system.running import free_settings

OWNER = Owner("actor", "node", 4711)


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    return free_settings(tmp_path / "data", postgres_url=database)


async def rows(settings: Settings) -> dict[str, ConsumerRow]:
    database = Database(settings.postgres_url, "test", 1)
    try:
        return {row.name: row for row in await ConsumerStates(database).all()}
    finally:
        await database.close()


async def said(settings: Settings, name: str, state: str) -> ConsumerRow:
    """The row, once the consumer has said so."""
    while True:
        row = (await rows(settings)).get(name)
        if row is not None and row.state == state:
            return row
        await asyncio.sleep(0.05)


def test_each_consumer_has_a_factory_and_an_actor() -> None:
    assert tuple(consumers._FACTORIES) == CONSUMERS
    assert tuple(config.name for config in consumers.consumer_configs(Settings())) == CONSUMERS


def test_those_that_are_left_out_do_not_run() -> None:
    chosen = Settings(consumers="notifier relay")
    assert [config.name for config in consumers.consumer_configs(chosen)] == ["relay", "notifier"]
    assert consumers.consumer_configs(Settings(consumers="")) == []
    with pytest.raises(ValidationError):
        Settings(consumers="relay notifiers")


async def test_status_shows_those_left_out_while_they_still_say_something(settings: Settings) -> None:
    database = Database(settings.postgres_url, "test", 1)
    await ConsumerStates(database).say("relay", "reading", handled=0, lag=0, last_error="", node="n", pid=1)
    await database.close()
    here = settings.model_copy(update={"consumers": "archiver"})
    lines = await asyncio.to_thread(status._consumers, here)
    assert [line.what for line in lines] == ["archiver", "relay"]
    import asyncpg

    admin = await asyncpg.connect(settings.postgres_url)
    await admin.execute("UPDATE consumer_state SET seen_at = now() - interval '90 seconds'")
    await admin.close()
    assert [line.what for line in await asyncio.to_thread(status._consumers, here)] == ["archiver"]


@pytest.mark.parametrize("name", CONSUMERS)
async def test_it_reads_until_it_is_stopped_and_says_so(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = []
    monkeypatch.setattr(consumers, "consumer_levels", lambda *words, **numbers: levels.append((words, numbers)))
    process = consumers.consumer_process(settings, name, OWNER)
    running = asyncio.create_task(process.run())
    try:
        async with asyncio.timeout(20):
            row = await said(settings, name, "reading")
        assert (row.node, row.pid, row.parked) == ("node", 4711, 0)
        assert any(words == (name,) for words, _ in levels)
    finally:
        process.stop()
        async with asyncio.timeout(20):
            await running
        await process.close()
    assert (await rows(settings))[name].state == "left"


async def test_status_shows_each_as_it_said_of_itself(settings: Settings) -> None:
    database = Database(settings.postgres_url, "test", 1)
    states = ConsumerStates(database)
    told = {"handled": 5, "last_error": "", "node": "n", "pid": 4711}
    await states.say("relay", "reading", lag=1234, **told)
    await states.say("archiver", "paused: Cassandra: away", lag=None, **told)
    await states.say("notifier", "reading", lag=0, **told)
    await states.say("departure", "left", lag=None, **told)
    await database.rows("park_message", "notifier", "new_booking", 0, 7, "k", b"", "E", 1)
    await database.close()
    lines = {line.what: line for line in await asyncio.to_thread(status._consumers, settings)}
    assert (lines["relay"].state, lines["relay"].well) == ("reading", True)
    assert lines["relay"].where == "process 4711, 1,234 behind, 0 parked"
    assert (lines["archiver"].state, lines["archiver"].well) == ("paused: Cassandra: away", False)
    assert lines["archiver"].where == "process 4711, 0 parked"
    assert lines["notifier"].where == "process 4711, 0 behind, 1 parked"
    assert (lines["departure"].state, lines["departure"].well) == ("does not run", False)


async def test_status_names_one_that_is_silent_and_one_that_never_spoke(settings: Settings) -> None:
    database = Database(settings.postgres_url, "test", 1)
    await ConsumerStates(database).say("relay", "reading", handled=0, lag=0, last_error="", node="n", pid=1)
    await database.close()
    import asyncpg

    admin = await asyncpg.connect(settings.postgres_url)
    await admin.execute("UPDATE consumer_state SET seen_at = now() - interval '90 seconds'")
    await admin.close()
    lines = {line.what: line for line in await asyncio.to_thread(status._consumers, settings)}
    assert lines["relay"].state.startswith("silent for 9")
    assert not lines["relay"].well
    assert lines["notifier"].state == "does not run"


def test_status_without_a_database_says_so(tmp_path: Path) -> None:
    lines = status._consumers(free_settings(tmp_path / "data"))
    assert {line.state for line in lines} == {"unknown: no database"}
    assert not any(line.well for line in lines)
