from datetime import time

import pytest

from domain.local_time import zone_offsets
from domain.rejection import Reason, Rejection
from domain.slots import run_words, step_that_fits
from domain.vendor import Service

FULL_WORD = (1 << 64) - 1


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (0, 0, []),
        (0, 1, [(0, 1)]),
        (63, 1, [(0, 1 << 63)]),
        (64, 1, [(1, 1)]),
        (60, 4, [(0, 0xF << 60)]),
        (60, 5, [(0, 0xF << 60), (1, 1)]),
        (63, 66, [(0, 1 << 63), (1, FULL_WORD), (2, 1)]),
        (128, 64, [(2, FULL_WORD)]),
        (-1, 2, [(-1, 1 << 63), (0, 1)]),
    ],
)
def test_a_run_of_slots_in_words(first: int, count: int, expected: list[tuple[int, int]]) -> None:
    assert run_words(first, count) == expected


def at(first: str, every: int, last: str = "23:00") -> Service:
    return Service((0,), time.fromisoformat(first), time.fromisoformat(last), every)


@pytest.mark.parametrize(
    ("zone", "services", "step"),
    [
        ("Europe/Berlin", [], 60),
        ("Europe/Berlin", [at("12:00", 60)], 60),
        ("Europe/Berlin", [at("12:00", 90)], 30),
        ("Europe/Berlin", [at("12:00", 15), at("18:30", 30)], 15),
        ("Europe/Berlin", [at("12:10", 20)], 10),
        ("Europe/Berlin", [at("12:12", 12)], 12),
        ("Europe/Berlin", [at("12:05", 60)], 5),
        ("Asia/Kathmandu", [at("12:00", 60)], 15),
        ("Asia/Kolkata", [at("12:00", 60)], 30),
        ("Australia/Lord_Howe", [at("12:00", 60)], 30),
        ("Pacific/Chatham", [at("12:00", 30)], 15),
        ("Asia/Kathmandu", [at("12:00", 20)], 5),
    ],
)
def test_the_longest_step_that_fits(zone: str, services: list[Service], step: int) -> None:
    assert step_that_fits(services, zone_offsets(zone)) == step


@pytest.mark.parametrize(
    ("zone", "services", "path"),
    [
        ("Europe/Berlin", [at("12:00", 7)], "services[0].every_minutes"),
        ("Europe/Berlin", [at("12:03", 60)], "services[0].first"),
        ("Europe/Berlin", [at("12:00", 12), at("12:00", 10)], "services[1].every_minutes"),
        ("Asia/Kathmandu", [at("12:00", 12)], "services[0].every_minutes"),
    ],
)
def test_a_step_under_five_minutes_is_refused_by_name(zone: str, services: list[Service], path: str) -> None:
    refusal = step_that_fits(services, zone_offsets(zone))
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


def test_an_impossible_zone_is_refused_by_name() -> None:
    refusal = step_that_fits([], [61])
    assert isinstance(refusal, Rejection)
    assert refusal.path == "time_zone"
