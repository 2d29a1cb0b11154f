"""`python -m holdfast.stack`: what `make stack`, `make stack-down` and `make stack-status` run."""

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from holdfast import tables
from holdfast.stack.server import StackError
from holdfast.stack.settings import StackSettings
from holdfast.stack.stack import Health, Stack

app = typer.Typer(
    name="stack",
    help="Kafka, Elasticsearch, Cassandra, Postgres with a replica, Valkey and Stripe's mock on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console()
_err = Console(stderr=True)
if not _out.is_terminal:
    _out.width = max(_out.width, 120)  # a log or a pipe has no edge that a table must keep to

T = TypeVar("T")
Names = Annotated[list[str] | None, typer.Argument(help="Only these servers.")]


@app.command()
def up(names: Names = None) -> None:
    """Start what does not run, and show it once every server answers."""
    stack = _stack()
    started = _try(lambda: stack.up(names or ()))
    _out.print(_table(stack.look()))
    _out.print("[bold green]The stack is up.[/]" if started else "[bold green]The stack was up already.[/]")


@app.command()
def down(names: Names = None) -> None:
    """Stop what was started, and nothing else; the data stays."""
    stack = _stack()
    stopped = _try(lambda: stack.down(names or ()))
    _out.print("The stack is down." if stopped else "The stack was down already.")


@app.command()
def start(names: list[str]) -> None:
    """Start single servers."""
    _try(lambda: _stack().up(names))


@app.command()
def stop(names: list[str]) -> None:
    """Stop single servers."""
    _try(lambda: _stack().down(names))


@app.command()
def kill(name: str) -> None:
    """End one server without a word, as a power cut would."""
    _try(lambda: _stack().kill(name))


@app.command()
def status() -> None:
    """Show what runs and what it answers; exits with 1 unless all is well."""
    report = _try(_stack().look)
    _out.print(_table(report))
    if not all(health.answers for health in report):
        raise typer.Exit(1)


def _stop(message: str) -> NoReturn:
    _err.print(f"[bold red]stack:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _stack() -> Stack:
    try:
        settings = StackSettings()
    except ValidationError as error:
        _stop("\n".join(found["msg"] for found in error.errors()))
    return Stack(settings, lambda what: _out.print(f"  {what}", style="dim", highlight=False))


def _try(do: Callable[[], T]) -> T:
    try:
        return do()
    except StackError as error:
        _stop(str(error))


def _table(report: list[Health]) -> Table:
    table = tables.plain("server", "process", "where", "answers", yielding={"answers"})
    for health in report:
        said = health.said.splitlines()[0] if health.said else ""
        style = "green" if health.answers else "red"
        table.add_row(health.name, str(health.pid or "-"), health.address, tables.one_line(said, style))
    return table


if __name__ == "__main__":
    sys.exit(app())
