"""The vendor's clock on the wall and UTC, both as whole minutes since 1970-01-01T00:00 on their own clock.

Minutes are plain integers, so that no instant, however far away, overflows a datetime. A local time that a clock
change skips does not exist; one that happens twice means the first pass. Answers are kept in bounded caches, because
zoneinfo takes ten times as long as a look-up and a vendor's times repeat.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.slots import DAY_MINUTES, EPOCH, EPOCH_ORDINAL

MINUTE_MIN: Final = (date(1900, 1, 1).toordinal() - EPOCH_ORDINAL) * DAY_MINUTES
MINUTE_MAX: Final = (date(9999, 12, 30).toordinal() - EPOCH_ORDINAL) * DAY_MINUTES
"""Between these two every zone can be asked; nothing beyond them can ever be booked."""

_OF_THIS_MACHINE: Final = ("localtime", "posixrules", "Factory", "posix/", "right/")
"""Files that some machines keep beside the zones: not IANA's names, and not the same everywhere."""
_EPOCH_WALL: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # a clock on a wall has no zone
_NOTHING: Final = timedelta()
_MINUTE: Final = timedelta(minutes=1)
_OFFSETS_FROM_YEAR: Final = 2020
_OFFSETS_TO_YEAR: Final = 2050


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """The IANA zone of that name, or None where there is none."""
    if name.startswith(_OF_THIS_MACHINE):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # a path, a folder of the database, a name in the wrong letters: to us all are no zone


@lru_cache(maxsize=1024)
def zone_offsets(name: str) -> frozenset[int]:
    """Every distance from UTC, in minutes, that the zone's clocks take in our time; empty for an unknown zone."""
    zone = zone_of(name)
    if zone is None:
        return frozenset()
    return frozenset(
        _offset_minutes(datetime(year, month, day, tzinfo=zone))
        for year in range(_OFFSETS_FROM_YEAR, _OFFSETS_TO_YEAR)
        for month in range(1, 13)
        for day in (1, 11, 21)
    )


@lru_cache(maxsize=1 << 16)
def local_minute(zone_name: str, utc_minute: int) -> tuple[int, bool]:
    """What the wall shows at an instant, and whether it shows it for the second time.

    `utc_minute` lies in MINUTE_MIN..MINUTE_MAX. Raises LookupError for an unknown zone.
    """
    wall = (EPOCH + timedelta(minutes=utc_minute)).astimezone(_known(zone_name))
    return utc_minute + _offset_minutes(wall), wall.fold == 1


@lru_cache(maxsize=1 << 16)
def utc_minute(zone_name: str, local: int) -> int | None:
    """The instant at which the wall shows a local minute for the first time; None where a clock change skips it.

    `local` lies in MINUTE_MIN..MINUTE_MAX. Raises LookupError for an unknown zone.
    """
    wall = (_EPOCH_WALL + timedelta(minutes=local)).replace(tzinfo=_known(zone_name))
    offset = _offset_minutes(wall)
    if offset < _offset_minutes(wall.replace(fold=1)):
        return None
    return local - offset


def utc_minute_after_gap(zone_name: str, local: int) -> int:
    """As `utc_minute`, but a skipped time is moved on by as much as the clocks were; for check-in and check-out."""
    known = utc_minute(zone_name, local)
    if known is not None:
        return known
    wall = (_EPOCH_WALL + timedelta(minutes=local)).replace(tzinfo=_known(zone_name))
    return local - _offset_minutes(wall)


def wall_minute(naive: datetime) -> int:
    """A naive local time as minutes since 1970 on the same wall, seconds dropped."""
    return (naive.toordinal() - EPOCH_ORDINAL) * DAY_MINUTES + naive.hour * 60 + naive.minute


def instant_minute(instant: datetime) -> int:
    """An aware instant as whole UTC minutes since 1970, rounded down."""
    since = instant - EPOCH
    return since.days * DAY_MINUTES + since.seconds // 60


def instant_of(minute: int) -> datetime:
    """The aware UTC instant of a UTC minute."""
    return EPOCH + timedelta(minutes=minute)


def midnight(zone_name: str, day: date) -> datetime:
    """When the day begins in the zone, as UTC; the ends of the calendar are held within what UTC can say."""
    try:
        return datetime.combine(day, time(), _known(zone_name)).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)


def local_day(zone_name: str, instant: datetime) -> int:
    """The vendor-local date at an instant, as days since 1970."""
    return local_minute(zone_name, instant_minute(instant))[0] // DAY_MINUTES


def day_of(day: date) -> int:
    """A date as days since 1970."""
    return day.toordinal() - EPOCH_ORDINAL


def date_of(day: int) -> date:
    return date.fromordinal(day + EPOCH_ORDINAL)


def _known(zone_name: str) -> ZoneInfo:
    zone = zone_of(zone_name)
    if zone is None:
        raise LookupError(f"time zone {zone_name!r} was believed to exist")
    return zone


def _offset_minutes(wall: datetime) -> int:
    """Minutes east of UTC on a wall in a zone."""
    return (wall.utcoffset() or _NOTHING) // _MINUTE
