"""What a shard's process says of itself, over the metrics that Ray would export. No Ray runs."""

from collections import Counter as Tally
from dataclasses import replace

import pytest

from actors.shard_stats import ShardStats
from holdfast import metrics

STATS = ShardStats(
    shard_id=3,
    epoch=7,
    actor_id="a",
    node="n",
    pid=4711,
    serving=True,
    buckets=4096,
    vendors_loaded=5,
    vendor_bytes=6000,
    bookings_in_memory=7,
    live_holds=8,
    queue=9,
    batches=10,
    bookings_written=11,
    commands_refused=12,
    commands_put_off=13,
    guard_refusals=14,
    outcomes_unknown=0,
    batch_size_mean=1.5,
    batch_size_max=16,
    commit_p50_ms=1.7,
    commit_p99_ms=18.5,
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Tally[tuple[str, str]]:
    """By name and shard: what a gauge was last set to, what a counter has come to."""
    shown: Tally[tuple[str, str]] = Tally()

    class Metric:
        def __init__(self, name: str, description: str = "", tag_keys: tuple[str, ...] = ()) -> None:
            assert description
            assert tag_keys == ("shard",)
            self._name = name

        def set(self, value: float, tags: dict[str, str]) -> None:
            shown[self._name, tags["shard"]] = value  # type: ignore[assignment]

        def inc(self, value: float, tags: dict[str, str]) -> None:
            assert value > 0, "as Ray has it"
            shown[self._name, tags["shard"]] += value  # type: ignore[assignment]

    monkeypatch.setattr(metrics, "Gauge", Metric)
    monkeypatch.setattr(metrics, "Counter", Metric)
    return shown


def test_a_shard_shows_its_levels_and_its_counts(shown: Tally[tuple[str, str]]) -> None:
    metrics.shard_report()(STATS)
    names = {name for name, shard in shown if shard == "3"}
    assert names == {
        f"holdfast_shard_{name}"
        for name in (
            *("serving", "buckets", "vendors_loaded", "vendor_bytes", "bookings_in_memory", "live_holds", "queue"),
            *("batch_size_mean", "batch_size_max", "commit_p50_ms", "commit_p99_ms"),
            *("batches", "bookings_written", "commands_refused", "commands_put_off", "guard_refusals"),
        )
    }
    assert shown["holdfast_shard_live_holds", "3"] == 8
    assert shown["holdfast_shard_serving", "3"] == 1
    assert shown["holdfast_shard_guard_refusals", "3"] == 14


def test_counts_go_on_and_levels_are_the_newest(shown: Tally[tuple[str, str]]) -> None:
    report = metrics.shard_report()
    report(STATS)
    report(replace(STATS, serving=False, live_holds=2, guard_refusals=15, outcomes_unknown=1))
    report(replace(STATS, serving=False, live_holds=2, guard_refusals=15, outcomes_unknown=1))
    assert shown["holdfast_shard_serving", "3"] == 0
    assert shown["holdfast_shard_live_holds", "3"] == 2
    assert shown["holdfast_shard_guard_refusals", "3"] == 15
    assert shown["holdfast_shard_outcomes_unknown", "3"] == 1
    assert shown["holdfast_shard_commands_refused", "3"] == 12
