"""When a restaurant takes a party: the baseline's own reading of hours, window and turn times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo


class Refused(Exception):
    """An HTTP status and a code of the contract."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Sitting:
    """Consecutive slots of `step_minutes`; slot n begins n steps after the epoch."""

    starts_at: datetime
    first_slot: int
    slot_count: int
    step_minutes: int

    def masks(self) -> dict[int, int]:
        """The bits to take, by word, as Postgres' signed 64-bit integers."""
        masks: dict[int, int] = {}
        for slot in range(self.first_slot, self.first_slot + self.slot_count):
            masks[slot >> 6] = masks.get(slot >> 6, 0) | 1 << (slot & 63)
        return {word: mask - (mask >> 63 << 64) for word, mask in masks.items()}


def sitting_of(vendor: Mapping[str, Any], party_size: int, starts_at: datetime, now: datetime) -> Sitting:
    """The slots that the party would sit for. Raises Refused where the vendor does not offer that time."""
    zone = ZoneInfo(vendor["time_zone"])
    instant, local = _both_clocks(starts_at, zone)
    if not _offered(vendor, local):
        raise Refused(409, "outside_opening_hours")
    policy = vendor["policy"]
    earliest = now + timedelta(minutes=policy["book_ahead_minutes_min"])
    last_day = now.astimezone(zone).date() + timedelta(days=policy["book_ahead_days_max"])
    if instant < earliest or local.date() > last_day:
        raise Refused(409, "outside_booking_window")
    step_minutes = vendor["step_minutes"]
    minutes = next(
        (turn["minutes"] for turn in vendor["turn_minutes"] if party_size <= turn["party_max"]),
        vendor["turn_minutes"][-1]["minutes"],
    )
    return Sitting(instant, int(instant.timestamp()) // 60 // step_minutes, -(-minutes // step_minutes), step_minutes)


def _both_clocks(starts_at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    if starts_at.tzinfo is not None:
        return starts_at.astimezone(UTC), starts_at.astimezone(zone).replace(tzinfo=None)
    instant = starts_at.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != starts_at:
        raise Refused(409, "outside_opening_hours")  # the clocks skip this time
    return instant, starts_at


def _offered(vendor: Mapping[str, Any], local: datetime) -> bool:
    if any(closure["first"] <= local.date().isoformat() <= closure["last"] for closure in vendor["closures"]):
        return False
    for service in vendor["services"]:
        first, last = time.fromisoformat(service["first"]), time.fromisoformat(service["last"])
        open_minutes = ((last.hour - first.hour) * 60 + last.minute - first.minute) % 1440
        for days_back in (0, 1):  # a service may run past midnight
            opened = datetime.combine(local.date() - timedelta(days=days_back), first)
            since = (local - opened) / timedelta(minutes=1)
            if (
                opened.weekday() in service["days"]
                and 0 <= since <= open_minutes
                and since % service["every_minutes"] == 0
            ):
                return True
    return False
