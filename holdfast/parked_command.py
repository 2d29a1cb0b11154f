"""`holdfast parked`: what consumers could not handle, and what an operator does about it. Straight on Postgres.

A consumer looks every second whether it was asked to try something again, so nothing here waits for it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast import tables
from holdfast.database_command import ago, ask_database, stop
from storage.parked import ParkedMessage, ParkedMessages

app = typer.Typer(
    help="Show what consumers could not handle, have them try again, or give it up.", no_args_is_help=True
)
_out = Console()
if not _out.is_terminal:
    _out.width = max(_out.width, 120)

_T = TypeVar("_T")

_LISTED_MAX: Final = 200
_SHOWN_BYTES_MAX: Final = 20_000

ParkedId = Annotated[int, typer.Argument(metavar="ID", min=1, max=(1 << 63) - 1, help="As `list` shows it.")]


@app.command("list")
def list_parked(
    consumer: Annotated[str | None, typer.Option(help="Of one consumer alone.")] = None,
) -> None:
    """List the messages that wait for somebody, oldest first."""
    found = _with(lambda parked: parked.waiting(consumer, _LISTED_MAX + 1))
    if not found:
        _out.print("Nothing is parked.")
        return
    table = tables.plain("id", "consumer", "message", "parked", "tries", "error", yielding={"error"})
    for one in found[:_LISTED_MAX]:
        asked = "to be replayed: " if one.replay_asked_at else ""
        table.add_row(str(one.parked_id), one.consumer, _place(one), ago(one.parked_at), str(one.tries),
                      tables.one_line(asked + _last_line(one.error)))  # fmt: skip
    _out.print(table)
    if len(found) > _LISTED_MAX:
        _out.print(f"There are more; these are the oldest {_LISTED_MAX}.")


@app.command()
def show(parked_id: ParkedId) -> None:
    """Show one message: what stands in it, and the error."""
    one = _with(lambda parked: parked.by_id(parked_id))
    if one is None:
        stop(f"there is no parked message {parked_id}")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("consumer", one.consumer)
    table.add_row("message", f"{_place(one)}, key {one.message.key}")
    table.add_row("parked", f"{ago(one.parked_at)}, after {one.tries} tries")
    table.add_row("now", _fate(one))
    _out.print(table)
    _out.print("\n[bold]error[/]")
    _out.print(Text(one.error), soft_wrap=True)
    _out.print("\n[bold]value[/]")
    _out.print(Text(one.message.value[:_SHOWN_BYTES_MAX].decode("utf-8", "backslashreplace")), soft_wrap=True)
    if len(one.message.value) > _SHOWN_BYTES_MAX:
        _out.print(f"... {len(one.message.value):,} bytes in all")


@app.command()
def replay(
    parked_id: Annotated[int | None, typer.Argument(metavar="[ID]", min=1, max=(1 << 63) - 1)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every message that waits.")] = False,
    consumer: Annotated[str | None, typer.Option(help="With --all: of one consumer alone.")] = None,
) -> None:
    """Have the consumer try a message again, or all of them; `list` shows what failed anew."""
    if (parked_id is None) is not all_ or (consumer is not None and not all_):
        stop("say which: the ID of one message, or --all, which may be narrowed by --consumer")
    if parked_id is None:
        asked = _with(lambda parked: parked.ask_replay_of_all(consumer))
        _out.print(f"{asked} {'message' if asked == 1 else 'messages'} will be tried again within seconds.")
        return
    chosen = parked_id
    if not _with(lambda parked: parked.ask_replay(chosen)):
        stop(f"no parked message {chosen} waits: it is settled, or there never was one")
    _out.print(f"Message {chosen} will be tried again within seconds.")


@app.command()
def drop(parked_id: ParkedId) -> None:
    """Give a message up: its consumer will never have its effect."""
    if not _with(lambda parked: parked.drop(parked_id)):
        stop(f"no parked message {parked_id} waits: it is settled, or there never was one")
    _out.print(f"Message {parked_id} is given up. `holdfast parked show {parked_id}` still shows it.")


def _with(call: Callable[[ParkedMessages], Awaitable[_T]]) -> _T:
    return ask_database("parked", lambda database: call(ParkedMessages(database)))


def _place(one: ParkedMessage) -> str:
    return f"{one.message.topic}/{one.message.partition}/{one.message.offset}"


def _last_line(error: str) -> str:
    """What was raised stands at the end of a traceback."""
    return next((line for line in reversed(error.splitlines()) if line.strip()), "")


def _fate(one: ParkedMessage) -> str:
    if one.settled_at is not None:
        return f"{one.settled_how} {ago(one.settled_at)}"
    return "waits to be replayed" if one.replay_asked_at else "waits for somebody to replay or drop it"
