"""A closed-loop booking client that costs little itself: many kept-alive connections, one process, one loop.

Each connection sends a booking, waits for the answer, and sends the next one, so the number of connections is the
number of clients. Every request carries its own Idempotency-Key. A request whose connection broke, or that was told to
come back later (503), is sent again under the same key, as a careful client would. Run as a process of its own:
`python -m bench.load PLAN.json RESULT.json`; the plan is a `LoadPlan`, the result a `LoadResult`.
"""

import asyncio
import dataclasses
import gc
import json
import random
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

_RETRY_SECONDS = 0.05
_ID_MARK = b'"booking_id":"'


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to POST, to whom and for how long. A request takes a path, a header line and a JSON body by chance.

    The first `warmup_seconds` are not measured, but their bookings are listed with the others. It stops at `seconds`
    of measuring or after `requests_max` answers, whichever is first, and lets every request under way be answered.
    A client rests for `pause_seconds` after each answer.
    """

    host: str
    port: int
    clients: int
    seconds: float
    paths: list[str]
    headers: list[str]
    bodies: list[str]
    warmup_seconds: float = 1.0
    pause_seconds: float = 0.0
    requests_max: int = 500_000
    seed: int = 1
    give_up_seconds: float = 30.0


@dataclass(slots=True)
class LoadResult:
    """`statuses` counts every answer, `measured` the ones inside the window of `seconds`; latencies are in milliseconds.

    `accepted` are the ids of all bookings that were answered 201, warm-up included. `lost` counts broken connections,
    `unanswered` requests that never got an answer at all. `silence_seconds` is the longest time without any 201.
    """

    clients: int
    seconds: float = 0.0
    measured: int = 0
    accepted_per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    cpu_us_per_request: float = 0.0
    silence_seconds: float = 0.0
    lost: int = 0
    unanswered: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)

    @property
    def answers_other_than_201(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != "201")

    def figures(self) -> dict[str, object]:
        """Everything but the long list of ids, which becomes its length."""
        return dataclasses.asdict(self) | {"accepted": len(self.accepted)}


def booking_path(vendor: str) -> str:
    """Where one books with a vendor."""
    return f"/booking/vendor/{vendor}"


def bearer(token: str) -> str:
    """The header line that says who one is."""
    return f"authorization: Bearer {token}"


def requests(plan: LoadPlan, tag: str) -> Iterator[bytes]:
    """Endless requests as they go over the wire; `tag` keeps the keys of two runs apart."""
    chance = random.Random(plan.seed)
    heads = [f"POST {path} HTTP/1.1\r\nhost: {plan.host}:{plan.port}\r\n".encode() for path in plan.paths]
    headers = [f"{line}\r\ncontent-type: application/json\r\n".encode() for line in plan.headers]
    tails = [f"content-length: {len(body)}\r\n\r\n{body}".encode() for body in plan.bodies]
    number = 0
    while True:
        number += 1
        key = f"idempotency-key: {tag}-{number}\r\n".encode()
        yield b"".join((chance.choice(heads), chance.choice(headers), key, chance.choice(tails)))


class _Run:
    """What all connections share: the next request, the clock's window, and the counts."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.next_request = requests(plan, f"{random.SystemRandom().getrandbits(64):x}").__next__
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.accepted: list[bytes] = []
        self.latencies = array("d")
        self.lost = 0
        self.unanswered = 0
        self.silence = 0.0
        self.last_accepted = self.started = time.perf_counter()
        self.window_from = self.started + plan.warmup_seconds
        self.window_to = self.window_from + plan.seconds
        self.answers_left = plan.requests_max
        self.accepted_in_window = 0

    def note(self, status: int, body: bytes, sent_at: float, now: float) -> None:
        self.statuses[status] += 1
        self.answers_left -= 1
        if self.window_from <= sent_at and now <= self.window_to:
            self.latencies.append(now - sent_at)
            if status == 201:
                self.accepted_in_window += 1
        if status == 201:
            start = body.index(_ID_MARK) + len(_ID_MARK)
            self.accepted.append(body[start : start + 36])
            self.silence = max(self.silence, now - self.last_accepted)
            self.last_accepted = now
        else:
            self.refusals[_code_of(status, body)] += 1

    def over(self, now: float) -> bool:
        return now >= self.window_to or self.answers_left <= 0


class _Connection(asyncio.Protocol):
    """One client: at most one request under way."""

    def __init__(self, run: _Run, done: asyncio.Future[None]) -> None:
        self.run = run
        self.done = done
        self.transport: asyncio.Transport | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.request: bytes | None = None
        self.sent_at = 0.0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports are not subclasses of it
        self.buffer = b""
        self.send(again=self.request is not None)

    def send(self, *, again: bool = False) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        now = time.perf_counter()
        if again:
            if now > self.run.window_to + self.run.plan.give_up_seconds:
                self.finish(unanswered=True)
                return
        elif self.request is not None:
            return  # a new connection sent one while this one rested
        elif self.run.over(now):
            self.finish()
            return
        else:
            self.request = self.run.next_request()
            self.sent_at = now
        self.transport.write(self.request or b"")

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            self.buffer = buffer
            return
        head = buffer[:head_end].lower()
        mark = head.find(b"content-length:")
        if mark < 0:
            raise ValueError(f"an answer without Content-Length: {head!r}")
        line_end = head.find(b"\r\n", mark)
        length = int(head[mark + 15 : line_end if line_end > 0 else head_end])
        if len(buffer) < head_end + 4 + length:
            self.buffer = buffer
            return
        self.buffer = b""
        status = int(head[9:12])
        if status == 503:
            self.run.statuses[503] += 1
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, lambda: self.send(again=True))
            return
        self.run.note(status, buffer[head_end + 4 :], self.sent_at, time.perf_counter())
        self.request = None
        if b"connection: close" in head:
            return  # the server ends it; connection_lost opens the next one
        if self.run.plan.pause_seconds:
            asyncio.get_running_loop().call_later(self.run.plan.pause_seconds, self.send)
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (the protocol names it)
        if self.done.done():
            return
        self.transport = None
        self.run.lost += 1
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.reconnect)

    def reconnect(self) -> None:
        if time.perf_counter() > self.run.window_to + self.run.plan.give_up_seconds:
            self.finish(unanswered=self.request is not None)
            return
        self.connecting = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self, self.run.plan.host, self.run.plan.port)
        except OSError:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.reconnect)

    def finish(self, *, unanswered: bool = False) -> None:
        self.run.unanswered += unanswered
        if not self.done.done():
            self.done.set_result(None)
        if self.transport is not None:
            self.transport.close()


def _code_of(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return f"{status} without a code"


async def drive(plan: LoadPlan) -> LoadResult:
    """Run the plan to its end and sum it up."""
    run = _Run(plan)
    loop = asyncio.get_running_loop()
    connections = [_Connection(run, loop.create_future()) for _ in range(plan.clients)]
    cpu_before = time.process_time()
    await asyncio.gather(*(connection.connect() for connection in connections))
    patience_seconds = plan.warmup_seconds + plan.seconds + 2 * plan.give_up_seconds
    await asyncio.wait([connection.done for connection in connections], timeout=patience_seconds)
    for connection in connections:
        if not connection.done.done():
            connection.finish(unanswered=True)
    cpu_seconds = time.process_time() - cpu_before
    ended = time.perf_counter()
    latencies = sorted(run.latencies)
    window_seconds = min(ended, run.window_to) - run.window_from
    return LoadResult(
        clients=plan.clients,
        seconds=round(window_seconds, 3),
        measured=len(latencies),
        accepted_per_second=round(run.accepted_in_window / window_seconds, 1) if window_seconds > 0 else 0.0,
        p50_ms=_percentile_ms(latencies, 0.50),
        p99_ms=_percentile_ms(latencies, 0.99),
        max_ms=_percentile_ms(latencies, 1.0),
        cpu_us_per_request=round(cpu_seconds / max(1, sum(run.statuses.values())) * 1e6, 1),
        silence_seconds=round(max(run.silence, min(ended, run.window_to) - run.last_accepted), 3),
        lost=run.lost,
        unanswered=run.unanswered,
        statuses={str(status): count for status, count in sorted(run.statuses.items())},
        refusals=dict(run.refusals),
        accepted=[booking_id.decode() for booking_id in run.accepted],
    )


def _percentile_ms(latencies: list[float], share: float) -> float:
    if not latencies:
        return 0.0
    return round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e3, 3)


def main() -> None:
    plan_path, result_path = sys.argv[1:]
    plan = LoadPlan(**json.loads(Path(plan_path).read_text()))
    gc.freeze()
    gc.disable()  # a run is short, and a pause of ours would be booked on the server
    result = uvloop.run(drive(plan))
    Path(result_path).write_text(json.dumps(dataclasses.asdict(result)))


if __name__ == "__main__":
    main()
