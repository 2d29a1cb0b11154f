"""Counters and levels of a Ray process, shown with Ray's own metrics."""

from functools import cache

from ray.util.metrics import Counter, Gauge

from storage.payment_watch import PaymentLevels


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
