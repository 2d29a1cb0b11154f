"""The benchmark: baseline, express lane and gateway in turn, several rounds in one run, an audit after each round."""

import asyncio
import secrets
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from bench.baseline.server import baseline_running, make_database, tokens
from bench.load import LoadPlan, LoadResult, bearer, booking_path
from bench.processes import ROOT, drive_in_own_process, free_port
from bench.product import Product, product_running
from bench.proof import prove
from bench.report import print_table, write_results
from bench.workload import GUESTS, VENDORS, booking_bodies

BASELINE, EXPRESS, GATEWAY = "baseline", "express lane", "gateway"
RESULTS = ROOT / "bench" / "results"
_TARGETS = {EXPRESS: 6.0, GATEWAY: 1.0}
_JUDGED_CLIENTS = 64
_TRIAL_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Stack:
    """Somewhere to book."""

    name: str
    port: int
    tokens: list[str]
    dsn: str


class Bench:
    """One run: knows the stacks and keeps what was measured and acknowledged."""

    def __init__(self, product: Product, seconds: float, console: Console) -> None:
        self._product = product
        self._seconds = seconds
        self._console = console
        self._bodies = booking_bodies(datetime.now(UTC).date())
        self.rounds: dict[tuple[str, int], list[LoadResult]] = defaultdict(list)
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        self.faults: list[str] = []

    def measure(self, stack: Stack, clients: int, seconds: float | None = None) -> LoadResult:
        """Load one stack; each time other bookings, at random."""
        plan = LoadPlan(
            host="127.0.0.1",
            port=stack.port,
            clients=clients,
            seconds=seconds or self._seconds,
            paths=[booking_path(vendor) for vendor in self._product.vendors],
            headers=[bearer(token) for token in stack.tokens],
            bodies=self._bodies,
            seed=secrets.randbits(32),
        )
        result = drive_in_own_process(plan)
        self.acknowledged[stack.name] += result.accepted
        return result

    def play_round(self, stacks: list[Stack], client_counts: list[int], progress: Progress) -> None:
        """Every stack at every number of clients, then the audit."""
        for clients in client_counts:
            for stack in stacks:
                task = progress.add_task(f"{stack.name}, {clients} clients", total=None)
                self.rounds[stack.name, clients].append(self.measure(stack, clients))
                progress.remove_task(task)
        stacks.append(stacks.pop(0))  # nobody always goes first
        self.audit(stacks)

    def audit(self, stacks: list[Stack]) -> None:
        """By database; express lane and gateway share one."""
        databases: dict[str, list[str]] = defaultdict(list)
        for stack in stacks:
            databases[stack.dsn].append(stack.name)
        for dsn, names in databases.items():
            told = [booking_id for name in names for booking_id in self.acknowledged[name]]
            proof = asyncio.run(prove(" and ".join(sorted(names)), dsn, told))
            verdict = "[red]" + "; ".join(proof.faults) + "[/]" if proof.faults else "[green]nothing wrong[/]"
            self._console.print(
                f"audit of {proof.stack}: {proof.bookings:,} bookings, {proof.acknowledged:,} acknowledged: {verdict}"
            )
            self.faults += [f"{proof.stack}: {fault}" for fault in proof.faults]


def main(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; the table shows their medians.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, max=60, help="Measured per stack and number of clients.")] = 6.0,
    clients: Annotated[list[int] | None, typer.Option(min=1, max=2000, help="Clients; may be given again.")] = None,
) -> None:
    """Measure how many bookings each stack acknowledges. Exits with 1 if the audit finds a fault, whatever the figures."""
    console = Console(width=130)
    client_counts = clients or [1, 64, 256]
    RESULTS.mkdir(parents=True, exist_ok=True)
    console.print("bringing the product up, and signing vendors and guests up")
    with product_running(RESULTS / "data", VENDORS, GUESTS) as product:
        bench = Bench(product, seconds, console)
        baseline_dsn = asyncio.run(make_database(product.dsn))
        secret = secrets.token_hex(32)
        baseline = Stack(BASELINE, free_port(), tokens(secret, product.guests), baseline_dsn)
        log = RESULTS / "baseline.log"
        processes, trials = _best_processes(bench, baseline, secret, log)
        console.print(f"the baseline runs best with {processes} process(es): bookings/s by processes {trials}")
        product_tokens = product.tokens()
        stacks = [
            baseline,
            Stack(EXPRESS, product.settings.express_port, product_tokens, product.dsn),
            Stack(GATEWAY, product.settings.gateway_port, product_tokens, product.dsn),
        ]
        with baseline_running(baseline_dsn, secret, baseline.port, processes, log):
            for number in range(rounds):
                console.print(f"round {number + 1} of {rounds}")
                with Progress(console=console, transient=True) as progress:
                    bench.play_round(stacks, client_counts, progress)
    facts = {"rounds": rounds, "seconds": seconds, "baseline_processes": processes, "baseline_trials": trials}
    path = write_results(RESULTS, bench.rounds, BASELINE, facts)
    print_table(bench.rounds, BASELINE)
    console.print(_verdict(bench, client_counts))
    console.print(f"in full: {path.relative_to(ROOT)}")
    if bench.faults:
        raise typer.Exit(1)


def _best_processes(bench: Bench, baseline: Stack, secret: str, log: Path) -> tuple[int, dict[int, float]]:
    """The baseline may use as many processes as serve it best on this machine."""
    trials: dict[int, float] = {}
    for processes in (1, 2):
        with baseline_running(baseline.dsn, secret, baseline.port, processes, log):
            trials[processes] = bench.measure(baseline, _JUDGED_CLIENTS, _TRIAL_SECONDS).accepted_per_second
    if not any(trials.values()):
        raise RuntimeError(f"the baseline books nothing; see {log}")
    return max(trials, key=trials.__getitem__), trials


def _verdict(bench: Bench, client_counts: list[int]) -> str:
    if _JUDGED_CLIENTS not in client_counts:
        return f"The targets are judged at {_JUDGED_CLIENTS} clients, which this run left out."

    def throughput(stack: str) -> float:
        return median(result.accepted_per_second for result in bench.rounds[stack, _JUDGED_CLIENTS])

    lines = []
    for stack, target in _TARGETS.items():
        ratio = throughput(stack) / throughput(BASELINE)
        word = "[green]reached[/]" if ratio >= target else "[yellow]missed[/]"
        lines.append(f"{stack}: {ratio:.2f} times the baseline at {_JUDGED_CLIENTS} clients, target {target:g}: {word}")
    return "\n".join(lines)
