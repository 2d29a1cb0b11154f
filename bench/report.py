"""The benchmark's table and its file of results."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.load import LoadResult

Rounds = Mapping[tuple[str, int], Sequence[LoadResult]]
"""The results of every round, by stack and number of clients."""


def print_table(rounds: Rounds, yardstick: str) -> None:
    """Medians over the rounds, and how many times the yardstick's throughput each stack reached."""
    table = Table(title="Bookings acknowledged, medians of the rounds")
    for heading in (
        "clients",
        "stack",
        "bookings/s",
        "p50 ms",
        "p99 ms",
        f"x {yardstick}",
        "rounds",
        "not 201",
        "client us",
    ):
        table.add_column(heading, justify="left" if heading == "stack" else "right")
    for clients in sorted({clients for _, clients in rounds}):
        for stack in dict.fromkeys(stack for stack, _ in rounds):
            results = rounds.get((stack, clients), ())
            if not results:
                continue
            table.add_row(
                str(clients),
                stack,
                f"{_throughput(results):,.0f}",
                f"{median(result.p50_ms for result in results):.1f}",
                f"{median(result.p99_ms for result in results):.1f}",
                f"{_ratio(rounds, stack, clients, yardstick):.2f}",
                " ".join(f"{result.accepted_per_second:,.0f}" for result in results),
                str(sum(result.answers_other_than_201 for result in results)),
                f"{median(result.cpu_us_per_request for result in results):.0f}",
            )
        table.add_section()
    Console(width=130).print(table)


def write_results(folder: Path, rounds: Rounds, yardstick: str, facts: Mapping[str, object]) -> Path:
    """One JSON file per run, without the long lists of booking ids."""
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    path = folder / f"{at:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": at.isoformat(),
        "machine": {"cpu": _cpu_name(), "system": platform.platform(), "python": platform.python_version()},
        **facts,
        "medians": [
            {
                "stack": stack,
                "clients": clients,
                "bookings_per_second": _throughput(results),
                "ratio": round(_ratio(rounds, stack, clients, yardstick), 3),
                "rounds": [result.figures() for result in results],
            }
            for (stack, clients), results in rounds.items()
        ],
    }
    path.write_text(json.dumps(document, indent=2))
    return path


def _throughput(results: Sequence[LoadResult]) -> float:
    return median(result.accepted_per_second for result in results)


def _ratio(rounds: Rounds, stack: str, clients: int, yardstick: str) -> float:
    base = rounds.get((yardstick, clients), ())
    return _throughput(rounds[stack, clients]) / _throughput(base) if base and _throughput(base) else float("nan")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
