"""When parties may sit down: a restaurant's services unfolded once, so that a start is checked by looking at a bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from domain.slots import DAY_MINUTES
from domain.vendor import Service

WEEK_MINUTES: Final = 7 * DAY_MINUTES
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday, and Monday is 0


@dataclass(frozen=True, slots=True)
class StartTable:
    """One bit per step of a local week that begins on Monday.

    `own` are the starts that belong to the day they fall on, `late` those after midnight of a service that began the
    day before.
    """

    step_minutes: int
    own: int
    late: int

    def service_day(self, local_minute: int) -> int | None:
        """The day, in days since 1970, whose service offers this start; None where no service does."""
        step = self.step_minutes
        if local_minute % step:
            return None
        place = (local_minute + _EPOCH_WEEKDAY * DAY_MINUTES) % WEEK_MINUTES // step
        if self.own >> place & 1:
            return local_minute // DAY_MINUTES
        if self.late >> place & 1:
            return local_minute // DAY_MINUTES - 1
        return None

    def starts_on(self, day: int) -> list[int]:
        """The local minutes since 1970, in order, at which somebody may sit down on that date."""
        steps = DAY_MINUTES // self.step_minutes
        bits = (self.own | self.late) >> ((day + _EPOCH_WEEKDAY) % 7 * steps) & ((1 << steps) - 1)
        first = day * DAY_MINUTES
        return [first + place * self.step_minutes for place in range(steps) if bits >> place & 1]


@lru_cache(maxsize=4096)
def start_table(services: Sequence[Service], step_minutes: int) -> StartTable:
    """Unfold services whose starts and intervals all fit the step. Vendors with the same hours share one table."""
    own = late = 0
    for service in services:
        first = service.first.hour * 60 + service.first.minute
        last = service.last.hour * 60 + service.last.minute
        if last < first:
            last += DAY_MINUTES
        for minute in range(first, last + 1, service.every_minutes):
            for weekday in service.days:
                bit = 1 << ((weekday * DAY_MINUTES + minute) % WEEK_MINUTES // step_minutes)
                if minute < DAY_MINUTES:
                    own |= bit
                else:
                    late |= bit
    return StartTable(step_minutes, own, late)
