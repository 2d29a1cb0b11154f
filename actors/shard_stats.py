"""How a shard is doing: recorded once per batch, never per booking."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShardStats:
    """A snapshot for operators. The batch figures are over the last 1,024 batches that wrote something.

    `commit_p50_ms` and `commit_p99_ms` are the statement's round trip. `serving` is false while the shard is starting,
    recovering or leaving.
    """

    shard_id: int
    epoch: int
    actor_id: str
    node: str
    pid: int
    serving: bool
    buckets: int
    vendors_loaded: int
    vendor_bytes: int
    bookings_in_memory: int
    live_holds: int
    queue: int
    batches: int
    bookings_written: int
    commands_refused: int
    commands_put_off: int
    guard_refusals: int
    outcomes_unknown: int
    batch_size_mean: float
    batch_size_max: int
    commit_p50_ms: float
    commit_p99_ms: float


class BatchMeter:
    """Counters and a ring of recent batches: (bookings written, seconds in the statement)."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=1024)
        self.batches = 0
        self.bookings_written = 0
        self.commands_refused = 0
        self.commands_put_off = 0
        self.guard_refusals = 0
        self.outcomes_unknown = 0

    def committed(self, bookings: int, seconds: float) -> None:
        self._recent.append((bookings, seconds))
        self.batches += 1
        self.bookings_written += bookings

    def decided(self, refused: int, put_off: int) -> None:
        self.commands_refused += refused
        self.commands_put_off += put_off

    def batch_size(self) -> tuple[float, int]:
        """Mean and largest."""
        sizes = [size for size, _ in self._recent]
        return (sum(sizes) / len(sizes), max(sizes)) if sizes else (0.0, 0)

    def commit_ms(self, percent: int) -> float:
        """A percentile of the statement's time, by nearest rank."""
        times = sorted(seconds for _, seconds in self._recent)
        if not times:
            return 0.0
        rank = min(len(times) - 1, len(times) * percent // 100)
        return round(times[rank] * 1000, 3)
