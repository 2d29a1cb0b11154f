"""`python -m bench.forged`: do 1,000 forged webhooks slow booking? The same bookings alone and beside them, in turn."""

import secrets
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
import typer
import uvloop
from rich.console import Console

from bench.load import LoadPlan, LoadResult, bearer, booking_path
from bench.processes import ROOT, drive_in_own_process
from bench.product import Product, product_running
from bench.report import print_table, write_results
from bench.workload import GUESTS, VENDORS, booking_bodies

ALONE, BESIDE = "bookings alone", "beside forged webhooks"
FORGED = 1_000
_RESULTS = ROOT / "bench" / "results"
_SENDERS = 8
_WARMUP_SECONDS = 1.0
_WRITTEN = "SELECT (SELECT count(*) FROM webhook_inbox) + (SELECT count(*) FROM ledger_entry)"


def main(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; the table shows their medians.")] = 3,
    seconds: Annotated[
        float, typer.Option(min=1, max=60, help="Measured per situation; the 1,000 are spread over it.")
    ] = 6.0,
    clients: Annotated[list[int] | None, typer.Option(min=1, max=2000, help="Clients; may be given again.")] = None,
) -> None:
    """Measure booking through the gateway without and with 1,000 forged webhooks. Exits with 1 if one of them was believed."""
    console = Console(width=130)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    console.print("bringing the product up, and signing vendors and guests up")
    measured: dict[tuple[str, int], list[LoadResult]] = defaultdict(list)
    believed: list[str] = []
    with product_running(_RESULTS / "data", VENDORS, GUESTS) as product, ThreadPoolExecutor(1) as beside:
        situations = [ALONE, BESIDE]
        bookings = _bookings(product, seconds)
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}")
            for count in clients or [1, 64]:
                for situation in situations:
                    flood = (
                        beside.submit(drive_in_own_process, _flood(product, seconds)) if situation == BESIDE else None
                    )
                    plan = replace(bookings, clients=count, seed=secrets.randbits(32))
                    measured[situation, count].append(drive_in_own_process(plan))
                    if flood is not None:
                        believed += _faults(flood.result(), console)
            situations.reverse()  # neither always goes first
        written = uvloop.run(_written(product.dsn))
    if written:
        believed.append(f"{written} rows were written by forged webhooks")
    path = write_results(_RESULTS, measured, ALONE, {"rounds": rounds, "seconds": seconds, "forged": FORGED})
    print_table(measured, ALONE)
    console.print(
        "\n".join(believed)
        or f"every forged webhook was answered 400 and wrote nothing; in full: {path.relative_to(ROOT)}"
    )
    if believed:
        raise typer.Exit(1)


def _bookings(product: Product, seconds: float) -> LoadPlan:
    """By one client; each measurement says by how many."""
    return LoadPlan(
        host="127.0.0.1",
        port=product.settings.gateway_port,
        clients=1,
        seconds=seconds,
        paths=[booking_path(vendor) for vendor in product.vendors],
        headers=[bearer(token) for token in product.tokens()],
        bodies=booking_bodies(datetime.now(UTC).date()),
        warmup_seconds=_WARMUP_SECONDS,
    )


def _flood(product: Product, seconds: float) -> LoadPlan:
    """1,000 in all, evenly over most of the time that the bookings take."""
    whole = _WARMUP_SECONDS + seconds
    signed_at = int(datetime.now(UTC).timestamp())
    bodies = [
        f'{{"id":"evt_{secrets.token_hex(8)}","type":"captured","payment_id":"{secrets.token_hex(16)}"}}'
        for _ in range(FORGED)
    ]
    return LoadPlan(
        host="127.0.0.1",
        port=product.settings.gateway_port,
        clients=_SENDERS,
        seconds=whole,
        paths=["/payment/webhook/sandbox"],
        headers=[f"holdfast-sandbox-signature: t={signed_at},v1={secrets.token_hex(32)}" for _ in range(FORGED)],
        bodies=bodies,
        warmup_seconds=0.0,
        pause_seconds=0.8 * _SENDERS * whole / FORGED,
        requests_max=FORGED,
    )


def _faults(flood: LoadResult, console: Console) -> list[str]:
    console.print(f"forged webhooks: {flood.refusals}, p50 {flood.p50_ms:.1f} ms, p99 {flood.p99_ms:.1f} ms")
    others = flood.answers_other_than_201 != sum(flood.refusals.values()) or set(flood.refusals) != {"bad_signature"}
    return [f"forged webhooks were answered {flood.statuses}, {flood.refusals}"] if others else []


async def _written(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_WRITTEN))
    finally:
        await connection.close()


if __name__ == "__main__":
    typer.run(main)
