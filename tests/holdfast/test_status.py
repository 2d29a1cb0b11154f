"""What `holdfast status` makes of the shards; the rest of it is seen on a running product in tests/system."""

import httpx
import pytest

from holdfast import status
from holdfast.settings import Settings
from holdfast.status import Line

SERVICES = [Line("operator service", "ok", "http://127.0.0.1:8000/operator", well=True)]


def _row(shard_id, *, buckets=2048, queue=0):
    return {"shard_id": shard_id, "buckets": buckets, "queue": queue, "pid": 17 if queue is not None else 0}


@pytest.fixture
def look(monkeypatch, tmp_path):
    def asked(*rows, services=SERVICES, shards=1, error=None):
        class Api:
            def __init__(self, _settings):
                pass

            def shards(self):
                if error:
                    raise error
                return list(rows)

        monkeypatch.setattr(status, "OperatorApi", Api)
        monkeypatch.setattr(status, "_services", lambda _: services)
        monkeypatch.setattr(status, "_consumers", lambda _: [])
        monkeypatch.setattr(status, "_money", lambda _: [])
        report = status.look(Settings(data_dir=tmp_path, shards=shards))
        return [line for line in report if line.what.startswith("shard")]

    return asked


def test_each_shard_that_answers_is_well(look):
    assert look(_row(0), _row(1)) == [
        Line("shard 0", "ok", "process 17, 2,048 buckets", well=True),
        Line("shard 1", "ok", "process 17, 2,048 buckets", well=True),
    ]


def test_a_shard_whose_buckets_are_closed_is_not_well_whoever_was_to_start_it(look):
    first, second = look(_row(0), _row(1, queue=None), shards=1)
    assert first.well
    assert (second.what, second.state, second.well) == ("shard 1", "no answer", False)


def test_a_shard_that_holds_nothing_counts_only_where_it_should_run(look):
    idle = _row(1, buckets=0, queue=None)
    assert [line.what for line in look(_row(0), idle, shards=1)] == ["shard 0"]
    assert [line.well for line in look(_row(0), idle, shards=2)] == [True, False]


def test_without_the_operator_service_nothing_is_known_of_shards(look):
    away = [Line("operator service", "ConnectError", "", well=False)]
    assert look(_row(0), services=away) == [Line("shards", "unknown: no operator service", "", well=False)]
    (line,) = look(error=httpx.ReadTimeout("slow"))
    assert (line.state, line.well) == ("unknown: ReadTimeout", False)
