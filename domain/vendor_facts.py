"""What a vendor's manager wrote, compiled once into what deciding needs and shared wherever it is alike.

Half a million of these stand in memory: strings, policies and hours that many vendors have in common are one object,
and the seats are arrays (`domain.seat_plan`).
"""

from dataclasses import dataclass
from functools import lru_cache
from sys import getsizeof, intern
from typing import TypeVar

from domain.ids import VendorId
from domain.local_time import day_of
from domain.seat_plan import SeatPlan, compile_plan
from domain.start_table import StartTable, start_table
from domain.vendor import Closure, Policy, StayRules, TurnTime, Vendor, VendorKind

Shared = TypeVar("Shared", Policy, StayRules)

_FIXED_BYTES = 1000
"""A state and its facts without what grows with the seats: objects, the vendor's id, empty columns."""


@dataclass(frozen=True, slots=True)
class VendorFacts:
    """Never changed; an update of the vendor makes new ones.

    `turns` are (party_max, slots) by rising party. `closures` are (first, last) days since 1970, both included.
    `check_in_minute` and `check_out_minute` count from local midnight. `step_minutes` is 0 and `starts` None for a
    hotel. `bytes_held` is an estimate.
    """

    vendor_id: VendorId
    version: int
    kind: VendorKind
    time_zone: str
    currency: str
    step_minutes: int
    policy: Policy
    plan: SeatPlan
    starts: StartTable | None
    turns: tuple[tuple[int, int], ...]
    covers_per_step: int | None
    closures: tuple[tuple[int, int], ...]
    check_in_minute: int
    check_out_minute: int
    stay: StayRules
    bytes_held: int

    def closed_between(self, first_day: int, last_day: int) -> bool:
        """Whether a closure of the whole house covers any day of the range, both ends included."""
        return any(first <= last_day and first_day <= last for first, last in self.closures)


def compile_facts(vendor: Vendor) -> VendorFacts:
    """Compile a vendor that was decided on: its seats have numbers, its step is known."""
    hotel = vendor.kind is VendorKind.HOTEL
    plan = compile_plan(vendor.seats, vendor.combinations)
    return VendorFacts(
        vendor_id=vendor.vendor_id,
        version=vendor.version,
        kind=vendor.kind,
        time_zone=intern(vendor.time_zone),
        currency=intern(vendor.currency),
        step_minutes=vendor.step_minutes,
        policy=_one_of(vendor.policy),
        plan=plan,
        starts=None if hotel else start_table(vendor.services, vendor.step_minutes),
        turns=() if hotel else _turns(vendor.turn_minutes, vendor.step_minutes),
        covers_per_step=vendor.covers_per_step,
        closures=_days(vendor.closures),
        check_in_minute=vendor.check_in.hour * 60 + vendor.check_in.minute,
        check_out_minute=vendor.check_out.hour * 60 + vendor.check_out.minute,
        stay=_one_of(vendor.stay),
        bytes_held=_FIXED_BYTES + _plan_bytes(plan),
    )


@lru_cache(maxsize=4096)
def _turns(turn_minutes: tuple[TurnTime, ...], step_minutes: int) -> tuple[tuple[int, int], ...]:
    return tuple(
        (turn.party_max, -(-turn.minutes // step_minutes))
        for turn in sorted(turn_minutes, key=lambda turn: turn.party_max)
    )


@lru_cache(maxsize=4096)
def _one_of(value: Shared) -> Shared:
    """The one object that stands for all equal ones."""
    return value


def _days(closures: tuple[Closure, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((day_of(closure.first), day_of(closure.last)) for closure in closures)


def _plan_bytes(plan: SeatPlan) -> int:
    return (
        getsizeof(plan.seat_nos)
        + getsizeof(plan.by_number)
        + getsizeof(plan.group_of)
        + getsizeof(plan.group_names)
        + sum(150 + 8 * len(combination.positions) for combination in plan.combinations)
        + 100 * len(plan.closures)
    )
