"""Counters and levels of a Ray process, shown with Ray's own metrics."""

from collections.abc import Callable
from functools import cache
from typing import Final

from ray.util.metrics import Counter, Gauge

from actors.shard_stats import ShardStats
from storage.payment_watch import PaymentLevels

_SHARD_LEVELS: Final = {
    "serving": "1 while the shard serves; 0 while it starts, recovers or leaves",
    "buckets": "Buckets that the shard owns",
    "vendors_loaded": "Vendors in the shard's memory",
    "vendor_bytes": "What the vendors in the shard's memory take, in bytes",
    "bookings_in_memory": "Bookings in the shard's memory",
    "live_holds": "Bookings that are held and not yet confirmed",
    "queue": "Commands that wait for a batch",
    "batch_size_mean": "Bookings that a batch wrote on average, over the last 1,024 batches",
    "batch_size_max": "Most bookings that a batch wrote, of the last 1,024 batches",
    "commit_p50_ms": "Median time of a batch's statement, over the last 1,024 batches",
    "commit_p99_ms": "99th percentile of the time of a batch's statement, over the last 1,024 batches",
}
_SHARD_COUNTS: Final = {
    "batches": "Batches that the shard committed",
    "bookings_written": "Bookings that the shard placed or changed",
    "commands_refused": "Commands that the shard refused",
    "commands_put_off": "Commands that the shard put off to its next batch",
    "guard_refusals": "Batches that the database refused, because the shard's memory was wrong",
    "outcomes_unknown": "Batches whose outcome was unknown for a time, because the reply was lost",
}


@cache
def _counter(name: str) -> Counter:
    return Counter(f"holdfast_{name}", description="How often this happened in the process")


def tally(name: str) -> None:
    """Count one; names are fixed words."""
    _counter(name).inc()


@cache
def _consumer_gauge(name: str, description: str) -> Gauge:
    return Gauge(f"holdfast_consumer_{name}", description=description, tag_keys=("consumer",))


@cache
def _payment_gauge(name: str, description: str) -> Gauge:
    return Gauge(f"holdfast_payments_{name}", description=description)


def payment_levels(levels: PaymentLevels) -> None:
    """What waits for the payment desk, and what for a person."""
    _payment_gauge("due", "Payments that are to be looked at by now").set(levels.due)
    _payment_gauge("stuck", "Payments that only a person can settle").set(levels.stuck)
    _payment_gauge("messages", "Messages of providers that are not handled").set(levels.messages)
    _payment_gauge("messages_stuck", "Messages of providers that only a person can settle").set(levels.messages_stuck)


def consumer_levels(consumer: str, *, lag: int | None, parked: int) -> None:
    """How far behind a consumer is, and what waits for an operator. An unknown lag leaves the last one standing."""
    tags = {"consumer": consumer}
    if lag is not None:
        _consumer_gauge("lag", "What the consumer has yet to take").set(lag, tags=tags)
    _consumer_gauge("parked", "Messages that the consumer parked and nobody settled").set(parked, tags=tags)


def shard_report() -> Callable[[ShardStats], None]:
    """What shows a shard's figures, told of them again and again. Counts begin with the process, as the shard's do."""
    keys = ("shard",)
    levels = {name: Gauge(f"holdfast_shard_{name}", text, tag_keys=keys) for name, text in _SHARD_LEVELS.items()}
    counts = {name: Counter(f"holdfast_shard_{name}", text, tag_keys=keys) for name, text in _SHARD_COUNTS.items()}
    shown = dict.fromkeys(counts, 0)

    def report(stats: ShardStats) -> None:
        tags = {"shard": str(stats.shard_id)}
        for name, gauge in levels.items():
            gauge.set(float(getattr(stats, name)), tags=tags)
        for name, counter in counts.items():
            more = getattr(stats, name) - shown[name]
            if more:
                counter.inc(more, tags=tags)
                shown[name] += more

    return report
