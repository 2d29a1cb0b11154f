"""`holdfast parked`, on a database with and without parked messages."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from holdfast.cli import app
from storage.event_log import Delivered, Topic
from storage.parked import ParkedMessages
from storage.postgres import Database
from tests.system.running import free_settings

VALUE = b'{"schema": 1, "event_id": "0-7-12-0"}'


@pytest.fixture
def on_database(database: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> str:
    settings = free_settings(tmp_path / "data", postgres_url=database)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    return database


async def run(*words: str) -> Result:
    """The command has a loop of its own, so it runs beside the test's."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["parked", *words])


async def ask(url: str, call: Callable[[ParkedMessages], Any]) -> Any:
    database = Database(url, "test", 1)
    try:
        return await call(ParkedMessages(database))
    finally:
        await database.close()


async def park(url: str, consumer: str = "notifier", offset: int = 12, value: bytes = VALUE) -> int:
    message = Delivered(Topic.NEW_BOOKING, 3, offset, "00a177ba-3f17-845f-814d-cf2399a8a483", value)
    error = 'Traceback\n  File "notifier.py", line 7, in handle\nLookupError: its guest is [gone]\n'
    await ask(url, lambda parked: parked.park(consumer, message, error, 4))
    waiting = await ask(url, lambda parked: parked.waiting(consumer, 1000))
    return int(waiting[-1].parked_id)


async def test_nothing_is_parked(on_database: str) -> None:
    result = await run("list")
    assert (result.exit_code, result.output) == (0, "Nothing is parked.\n")


async def test_a_list_says_where_it_lies_and_why(on_database: str) -> None:
    await park(on_database)
    await park(on_database, "archiver", 5)
    result = await run("list")
    assert result.exit_code == 0
    assert "new_booking/3/12" in result.output
    assert "LookupError: its guest is [gone]" in result.output
    only = await run("list", "--consumer", "archiver")
    assert "new_booking/3/5" in only.output
    assert "notifier" not in only.output


async def test_a_list_that_is_long_says_that_there_is_more(on_database: str) -> None:
    message = [Delivered(Topic.NEW_BOOKING, 0, n, "k", VALUE) for n in range(201)]

    async def park_all(parked: ParkedMessages) -> None:
        for one in message:
            await parked.park("notifier", one, "E", 1)

    await ask(on_database, park_all)
    result = await run("list")
    assert "these are the oldest 200" in result.output
    assert "new_booking/0/200" not in result.output


async def test_one_is_shown_whole(on_database: str) -> None:
    number = await park(on_database, value=VALUE + b"\xff [bold]")
    result = await run("show", str(number))
    assert result.exit_code == 0
    for part in ("notifier", "new_booking/3/12", "key 00a177ba", "after 4 tries", "line 7, in handle", '"0-7-12-0"'):
        assert part in result.output
    assert "\\xff [bold]" in result.output


async def test_a_large_one_is_cut(on_database: str) -> None:
    number = await park(on_database, value=b"x" * 50_000)
    result = await run("show", str(number))
    assert "50,000 bytes in all" in result.output
    assert len(result.output) < 25_000


async def test_a_replay_is_asked_for(on_database: str) -> None:
    first, second = await park(on_database, offset=1), await park(on_database, offset=2)
    result = await run("replay", str(second))
    assert result.exit_code == 0
    asked = await ask(on_database, lambda parked: parked.to_replay("notifier", 10))
    assert [one.parked_id for one in asked] == [second]
    assert (await run("list")).output.count("to be replayed") == 1
    assert "waits to be replayed" in (await run("show", str(second))).output
    assert "waits for somebody" in (await run("show", str(first))).output


async def test_all_are_asked_for_or_those_of_one_consumer(on_database: str) -> None:
    for offset in (1, 2):
        await park(on_database, offset=offset)
    await park(on_database, "archiver")
    one = await run("replay", "--all", "--consumer", "archiver")
    assert "1 message will be tried again" in one.output
    assert await ask(on_database, lambda parked: parked.to_replay("notifier", 10)) == []
    every = await run("replay", "--all")
    assert "3 messages will be tried again" in every.output


async def test_one_is_dropped_and_still_shown(on_database: str) -> None:
    number = await park(on_database)
    assert (await run("drop", str(number))).exit_code == 0
    assert (await run("list")).output == "Nothing is parked.\n"
    assert "dropped 0 s ago" in (await run("show", str(number))).output
    again = await run("drop", str(number))
    assert again.exit_code == 1
    assert "it is settled" in again.output


@pytest.mark.parametrize("words", [("show", "99"), ("replay", "99"), ("drop", "99")])
async def test_one_that_is_not_there_is_named(on_database: str, words: tuple[str, str]) -> None:
    result = await run(*words)
    assert result.exit_code == 1
    assert "99" in result.output


@pytest.mark.parametrize("words", [("replay",), ("replay", "1", "--all"), ("replay", "1", "--consumer", "notifier")])
async def test_a_replay_of_what_is_asked_back(on_database: str, words: tuple[str, ...]) -> None:
    result = await run(*words)
    assert result.exit_code == 1
    assert "say which" in result.output


@pytest.mark.parametrize("words", [("show", "no"), ("drop", "0"), ("show", str(1 << 63))])
async def test_an_id_that_cannot_be_is_refused(on_database: str, words: tuple[str, str]) -> None:
    assert (await run(*words)).exit_code == 2


def test_without_a_database_it_says_so(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in free_settings(tmp_path / "data").as_environment().items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["parked", "list"])
    assert result.exit_code == 1
    assert "is Holdfast up?" in result.output
