"""Against zoneinfo's own arithmetic, on zones whose clocks do odd things."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.local_time import (
    MINUTE_MAX,
    MINUTE_MIN,
    date_of,
    day_of,
    instant_minute,
    instant_of,
    local_day,
    local_minute,
    midnight,
    utc_minute,
    utc_minute_after_gap,
    wall_minute,
    zone_of,
    zone_offsets,
)

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Europe/Dublin",
    "America/Santiago",
    "Pacific/Kiritimati",
    "UTC",
)


def wall(text: str) -> int:
    return wall_minute(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("Europe/Berlin", "2026-12-24T19:30", "2026-12-24T18:30+00:00"),
        ("Europe/Berlin", "2026-07-01T19:30", "2026-07-01T17:30+00:00"),
        ("Europe/Berlin", "2026-03-29T02:00", None),
        ("Europe/Berlin", "2026-03-29T02:59", None),
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00+00:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30+00:00"),
        ("America/New_York", "2026-03-08T02:30", None),
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30+00:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", None),
        ("Australia/Lord_Howe", "2026-10-04T02:30", "2026-10-03T15:30+00:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45+00:00"),
        ("Asia/Kathmandu", "2026-06-01T12:00", "2026-06-01T06:15+00:00"),
        ("Pacific/Chatham", "2026-09-27T03:00", None),
        ("Pacific/Chatham", "2026-04-05T03:00", "2026-04-04T13:15+00:00"),
        ("Pacific/Apia", "2011-12-30T12:00", None),
    ],
)
def test_local_to_utc(zone: str, local: str, instant: str | None) -> None:
    expected = None if instant is None else instant_minute(datetime.fromisoformat(instant))
    assert utc_minute(zone, wall(local)) == expected


@pytest.mark.parametrize(
    ("zone", "instant", "local", "second_pass"),
    [
        ("Europe/Berlin", "2026-10-25T00:30+00:00", "2026-10-25T02:30", False),
        ("Europe/Berlin", "2026-10-25T01:30+00:00", "2026-10-25T02:30", True),
        ("Europe/Berlin", "2026-10-25T02:00+00:00", "2026-10-25T03:00", False),
        ("America/New_York", "2026-11-01T06:30+00:00", "2026-11-01T01:30", True),
        ("Australia/Lord_Howe", "2026-04-04T15:15+00:00", "2026-04-05T01:45", True),
        ("Pacific/Chatham", "2026-04-04T14:15+00:00", "2026-04-05T03:00", True),
        ("Asia/Kathmandu", "2026-04-04T14:15+00:00", "2026-04-04T20:00", False),
    ],
)
def test_utc_to_local(zone: str, instant: str, local: str, second_pass: bool) -> None:
    assert local_minute(zone, instant_minute(datetime.fromisoformat(instant))) == (wall(local), second_pass)


@given(
    st.sampled_from(ZONES),
    st.integers(min_value=instant_minute(datetime(1971, 1, 1, tzinfo=UTC)), max_value=MINUTE_MAX - 1),
)
def test_there_and_back(zone: str, minute: int) -> None:
    local, second_pass = local_minute(zone, minute)
    shown = instant_of(minute).astimezone(ZoneInfo(zone))
    assert local == wall_minute(shown.replace(tzinfo=None))
    back = utc_minute(zone, local)
    assert back is not None
    assert (back < minute) if second_pass else (back == minute)
    assert local_day(zone, instant_of(minute)) == day_of(shown.date())


def test_a_skipped_check_in_moves_on_with_the_clocks() -> None:
    moved = utc_minute_after_gap("Europe/Berlin", wall("2026-03-29T02:30"))
    assert instant_of(moved) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 on the wall
    usual = utc_minute_after_gap("Europe/Berlin", wall("2026-03-29T15:00"))
    assert instant_of(usual) == datetime(2026, 3, 29, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("minute", [MINUTE_MIN, MINUTE_MAX - 1])
def test_the_ends_of_time_do_not_overflow(zone: str, minute: int) -> None:
    local_minute(zone, minute)
    utc_minute(zone, minute)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Base",
        "../etc/passwd",
        "/etc/passwd",
        "Europe",
        "europe/berlin/",
        "\0",
        "Ü",
        "a" * 5000,
        "localtime",
        "posix/UTC",
    ],
)
def test_unknown_zones(name: str) -> None:
    assert zone_of(name) is None
    assert zone_offsets(name) == frozenset()
    with pytest.raises(LookupError):
        local_minute(name, 0)


@pytest.mark.parametrize(
    ("zone", "offsets"),
    [
        ("Europe/Berlin", {60, 120}),
        ("Australia/Lord_Howe", {630, 660}),
        ("Asia/Kathmandu", {345}),
        ("Pacific/Chatham", {765, 825}),
        ("UTC", {0}),
    ],
)
def test_offsets_of_a_zone(zone: str, offsets: set[int]) -> None:
    assert zone_offsets(zone) == offsets


def test_instants_round_down_to_minutes() -> None:
    instant = datetime(2026, 1, 1, 12, 34, 56, 789, tzinfo=UTC)
    assert instant_of(instant_minute(instant)) == instant.replace(second=0, microsecond=0)
    before_1970 = datetime(1969, 12, 31, 23, 59, 30, tzinfo=UTC)
    assert instant_minute(before_1970) == -1
    assert instant_minute(datetime.max.replace(tzinfo=UTC)) > MINUTE_MAX
    assert date_of(day_of(instant.date())) == instant.date()
    assert instant_of(0) + timedelta(0) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("UTC", date(2026, 12, 24), datetime(2026, 12, 24, tzinfo=UTC)),
        ("Europe/Vienna", date(2026, 12, 24), datetime(2026, 12, 23, 23, tzinfo=UTC)),
        ("Europe/Vienna", date(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("America/Sao_Paulo", date(2018, 11, 4), datetime(2018, 11, 4, 3, tzinfo=UTC)),
        ("Asia/Tokyo", date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
        ("America/New_York", date(9999, 12, 31), datetime(9999, 12, 31, 5, tzinfo=UTC)),
    ],
    ids=str,
)
def test_a_day_begins_on_its_own_clock(zone, day, instant):
    assert midnight(zone, day) == instant
