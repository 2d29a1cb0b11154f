"""What an operator works with, ids and names, is whole in a terminal of 80 columns, however long an error is."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from holdfast import cli, parked_command, tables
from holdfast.cli import app
from holdfast.stack import __main__ as stack_command
from holdfast.stack.stack import Health
from holdfast.status import Line
from storage.event_log import Delivered, Topic
from storage.parked import ParkedMessage
from tests.system.running import free_settings

LONG = "LookupError: " + "its guest is [gone], and so is " * 20


@pytest.fixture
def narrow() -> Console:
    return Console(width=80, file=io.StringIO())


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    return printed


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in free_settings(tmp_path / "data").as_environment().items():
        monkeypatch.setenv(name, value)


def test_parked_list_shows_ids_consumers_and_places(narrow: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    message = Delivered(Topic.BOOKING_CANCELLED, 12, 1_234_567, "key", b"{}")
    parked = [
        ParkedMessage(1_234_560 + number, "search_indexer", message, LONG, datetime.now(UTC), 4) for number in range(3)
    ]
    monkeypatch.setattr(parked_command, "_out", narrow)
    monkeypatch.setattr(parked_command, "_with", lambda _: parked)
    assert CliRunner().invoke(app, ["parked", "list"]).exit_code == 0
    rows = _printed(narrow).splitlines()
    for one in parked:
        (row,) = [row for row in rows if str(one.parked_id) in row]
        assert "search_indexer" in row
        assert "booking_cancelled/12/1234567" in row
        assert "…" in row


def test_status_shows_every_name_and_all_of_a_state(narrow: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("keeper", "express lane", "search indexer", "operator service")
    where = f"/home/somebody/{'a-long-folder/' * 6}logs/keeper.log"
    report = [Line(name, LONG, where, well=False) for name in names]
    monkeypatch.setattr("holdfast.status.look", lambda _: report)
    monkeypatch.setattr(cli, "_out", narrow)
    assert CliRunner().invoke(app, ["status"]).exit_code == 1
    printed = _printed(narrow)
    assert [name for name in names if name not in printed] == []
    assert printed.count("[gone]") > 40


def test_the_stacks_status_shows_every_server(narrow: Console) -> None:
    names = ("elasticsearch", "postgres_replica")
    report = [Health(name, "127.0.0.1:19033", 1_234_567, answers=False, said=LONG) for name in names]
    narrow.print(stack_command._table(report))
    rows = [row for row in _printed(narrow).splitlines() if row.strip().startswith(names)]
    assert [row.split()[:4] for row in rows] == [[name, "1234567", "127.0.0.1:19033", "LookupError:"] for name in names]


def test_a_cell_that_is_cut_takes_one_line(narrow: Console) -> None:
    table = tables.plain("name", "error", yielding={"error"})
    table.add_row("n" * 60, tables.one_line(LONG))
    narrow.print(table)
    (row,) = [row for row in _printed(narrow).splitlines() if "n" * 60 in row]
    assert row.rstrip().endswith("…")
