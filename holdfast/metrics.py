"""Counters of a Ray process, shown with Ray's own metrics."""

from functools import cache

from ray.util.metrics import Counter


@cache
def _counter(name: str) -> Counter:
    return Counter(f"holdfast_{name}", description="How often this happened in the process")


def tally(name: str) -> None:
    """Count one; names are fixed words."""
    _counter(name).inc()
