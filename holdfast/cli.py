"""The `holdfast` command: brings the whole product up and down on this machine, shows it, plays with it, audits it."""

import time
from datetime import timedelta
from typing import Annotated, Any, Final, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.ids import BUCKETS
from holdfast import parked_command, payments_command, tables
from holdfast.settings import Settings

app = typer.Typer(
    name="holdfast",
    help="Reservations for hotels and restaurants that are never sold twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(parked_command.app, name="parked")
app.add_typer(payments_command.app, name="payments")
_SHARD_BACK_SECONDS: Final = 15.0

_out = Console()
_err = Console(stderr=True)
if not _out.is_terminal:
    _out.width = max(_out.width, 120)  # a log or a pipe has no edge that a table must keep to


def _stop(message: str) -> NoReturn:
    _err.print(f"[bold red]holdfast:[/] {message}", highlight=False)
    raise typer.Exit(1)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, found['loc'])) or 'settings'}: {found['msg']}" for found in error.errors()]
        _stop("the settings are not valid\n" + "\n".join(lines))


def _asked_shards(settings: Settings) -> list[dict[str, Any]]:
    """What the operator service says of each; the command ends with a word about it where it does not answer."""
    import httpx

    from holdfast.operator_api import OperatorApi

    try:
        return OperatorApi(settings).shards()
    except httpx.HTTPError as error:
        _stop(f"the operator service does not answer ({error}); is Holdfast up?")


def _silent_shards(settings: Settings, wanted: int) -> list[int]:
    """Those of the first so many that do not answer, also not within the time in which one that fell comes back."""
    deadline = time.monotonic() + _SHARD_BACK_SECONDS
    while True:
        answering = {shard["shard_id"] for shard in _asked_shards(settings) if shard["queue"] is not None}
        silent = sorted(set(range(wanted)) - answering)
        if not silent or time.monotonic() > deadline:
            return silent
        time.sleep(0.5)


@app.callback()
def _first() -> None:
    from holdfast import logs

    logs.to_stderr()


@app.command()
def up() -> None:
    """Start everything, and print the addresses once every service answers."""
    from holdfast.installation import Installation, InstallationError
    from holdfast.ray_head import RayHeadError

    settings = _settings()
    with _out.status("looking around") as status:

        def tell(what: str) -> None:
            _out.print(f"  {what}", style="dim", highlight=False)
            status.update(what)

        try:
            started = Installation(settings, tell).up()
        except (InstallationError, RayHeadError) as error:
            status.stop()
            _stop(str(error))
    _out.print("[bold green]Holdfast is up.[/]" if started else "[bold green]Holdfast was up already.[/]")
    _out.print(_addresses(settings))


@app.command()
def down() -> None:
    """Stop everything that `up` started; the data stays."""
    from holdfast.installation import Installation, InstallationError

    settings = _settings()
    with _out.status("looking around") as status:

        def tell(what: str) -> None:
            _out.print(f"  {what}", style="dim", highlight=False)
            status.update(what)

        try:
            stopped = Installation(settings, tell).down()
        except InstallationError as error:
            status.stop()
            _stop(str(error))
    _out.print("Holdfast is down." if stopped else "Holdfast was down already.", highlight=False)


@app.command()
def status() -> None:
    """Show what runs and whether it answers; exits with 1 unless all is well."""
    from holdfast.status import look

    report = look(_settings())
    table = tables.plain("what", "state", "where", yielding={"state", "where"})
    for line in report:
        table.add_row(line.what, Text(line.state, "green" if line.well else "red"), Text(line.where))
    _out.print(table)
    if not all(line.well for line in report):
        raise typer.Exit(1)


@app.command()
def shards() -> None:
    """Show every shard: who owns it, how much waits, how long a commit takes."""
    found = _asked_shards(_settings())
    table = tables.plain(
        "shard", "epoch", "buckets", "pid", "express lane", "queue", "written", "batch", "p50 / p99 ms"
    )
    for shard in found:
        answers = shard["queue"] is not None
        table.add_row(
            str(shard["shard_id"]),
            str(shard["epoch"]),
            str(shard["buckets"]),
            str(shard["pid"] or "-"),
            shard["express_address"] or "-",
            str(shard["queue"]) if answers else "[red]no answer[/]",
            str(shard["bookings"]) if answers else "-",
            f"{shard['batch_commands']:.1f}" if answers else "-",
            f"{shard['commit_p50_ms']:.1f} / {shard['commit_p99_ms']:.1f}" if answers else "-",
        )
    _out.print(table)


@app.command()
def rebalance(
    shards: Annotated[
        int | None,
        typer.Option(min=1, help="Over the first so many shards; over as many as HOLDFAST_SHARDS says if not given."),
    ] = None,
) -> None:
    """Spread the vendors evenly over the shards, after HOLDFAST_SHARDS was raised or before it is lowered.

    It may be done while guests book: vendors that move, and those of the shards that they leave, answer again in seconds.
    """
    from holdfast.database_command import ask_database
    from holdfast.rebalance import rebalance as spread

    settings = _settings()
    wanted = shards or settings.shards
    with _out.status("asking the shards"):
        silent = _silent_shards(settings, wanted)
    if silent:
        _stop(
            f"shard {silent[0]} does not answer, and its vendors would be closed: "
            f"bring Holdfast up with HOLDFAST_SHARDS={wanted} first, or name fewer with --shards"
        )
    given = ask_database("rebalance", lambda database: spread(database, wanted))
    for giver, buckets in sorted(given.items()):
        _out.print(f"shard {giver} gave {buckets:,} of {BUCKETS:,} buckets away", highlight=False)
    _out.print(f"Each of {wanted} shards has its share." if given else "Nothing had to be moved.", highlight=False)


@app.command()
def verify() -> None:
    """Audit the database: prints each figure, and exits with 1 if any rule is broken."""
    if not _verified(_settings()):
        raise typer.Exit(1)


@app.command()
def reindex() -> None:
    """Build the search index anew from the database; searches go on meanwhile, and no change is lost."""
    import asyncio

    from holdfast.reindex import run_reindex
    from storage.errors import StoreError

    try:
        vendors = asyncio.run(run_reindex(_settings(), _out))
    except (StoreError, FileNotFoundError, ValueError) as error:
        _stop(f"the search index was not built anew ({error})")
    _out.print(f"[bold green]{vendors:,} vendors are indexed.[/]", highlight=False)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="The same seed plays the same evening.")] = 1,
    vendors: Annotated[int, typer.Option(min=1, max=2000, help="Restaurants and hotels to open.")] = 200,
    guests: Annotated[int, typer.Option(min=1, max=500, help="People who book.")] = 100,
    bookings: Annotated[int, typer.Option(min=1, max=100_000, help="Bookings to try.")] = 2000,
) -> None:
    """Open restaurants and hotels in real cities, play an evening of bookings through the HTTP API, then verify."""
    import asyncio

    import httpx

    from holdfast.demo import DemoError, DemoSize, play

    settings = _settings()
    try:
        asyncio.run(play(settings, DemoSize(vendors, guests, bookings), seed, _out))
    except httpx.HTTPError as error:
        _stop(f"the gateway does not answer ({type(error).__name__}); is Holdfast up?")
    except DemoError as error:
        _stop(str(error))
    if not _verified(settings):
        raise typer.Exit(1)


@app.command()
def token(
    operator: Annotated[bool, typer.Option("--operator", help="An operator's token.")] = False,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="How long it lives.")] = 60,
) -> None:
    """Print an access token. Whoever can read this installation's secrets can make one; there is no other login."""
    from holdfast.operator_api import operator_token

    if not operator:
        _stop("say whose token: --operator is the only kind that the command makes")
    typer.echo(operator_token(_settings(), timedelta(minutes=minutes)))


def _addresses(settings: Settings) -> Table:
    from holdfast import health

    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("gateway", health.gateway_url(settings))
    table.add_row("express lane", f"{health.express_url(settings)}/booking")
    for service, prefix in health.SERVICES.items():
        table.add_row(f"{service} service", f"{health.gateway_url(settings)}{prefix}/docs")
    if not settings.ray_address:
        table.add_row("Ray dashboard", f"http://127.0.0.1:{settings.ray_dashboard_port}")
        table.add_row("  its token", str(settings.secrets_dir / "ray_token"))
    table.add_row("data", str(settings.data_dir))
    return table


def _verified(settings: Settings) -> bool:
    import asyncio

    from holdfast import payments_shown
    from holdfast.audit import run_audit
    from storage.errors import StoreUnavailable

    try:
        report = asyncio.run(run_audit(settings, _out))
    except (StoreUnavailable, FileNotFoundError) as error:
        _stop(f"the database does not answer ({error}); is Holdfast up?")
    table = tables.plain("figure", "counted", "faults")
    for figure in report.figures:
        faults = "-"
        if figure.judged:
            faults = f"[bold red]{figure.faults:,}[/]" if figure.faults else "0"
        table.add_row(figure.name, f"about {figure.counted:,}" if figure.about else f"{figure.counted:,}", faults)
    _out.print(table)
    if report.money:
        _out.print(payments_shown.money(report.money))
    for figure in report.figures:
        for example in figure.examples:
            _out.print(f"  {figure.name}: {example}", highlight=False, soft_wrap=True)
    _out.print("[bold green]Nothing is wrong.[/]" if report.ok else "[bold red]The audit found faults.[/]")
    return report.ok
