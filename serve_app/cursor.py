"""Cursors of lists: opaque to clients, and of use only for the list that gave them."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import inf
from struct import Struct
from typing import Final
from uuid import UUID

from domain.booking_list import ListPosition
from domain.ids import BookingId, VendorId
from domain.search import SearchOrder, SortPosition

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEY: Final = Struct(">d")
_CHECK_BYTES: Final = 6
_SIZE: Final = 8 + 16 + _CHECK_BYTES
_SORT_KEY_MAX: Final = float(1 << 53)
"""No price, distance or sum of points comes near it, and every index takes it."""
_MOVEMENT_ID_MAX: Final = (1 << 63) - 1


def cursor_of(position: ListPosition, of_list: str) -> str:
    """`of_list` names the list with its filters, so that a cursor of another one is refused and not misread."""
    micros = (position.starts_at - _EPOCH) // _MICROSECOND
    raw = micros.to_bytes(8, "big", signed=True) + position.booking_id.bytes
    return base64.urlsafe_b64encode(raw + _check(raw, of_list)).decode("ascii")


def position_of(cursor: str, of_list: str) -> ListPosition | None:
    """Where the page ended; None for anything that is no cursor of this list."""
    raw = _raw(cursor)
    if raw is None or _check(raw[:-_CHECK_BYTES], of_list) != raw[-_CHECK_BYTES:]:
        return None
    try:
        starts_at = _EPOCH + _MICROSECOND * int.from_bytes(raw[:8], "big", signed=True)
    except OverflowError:
        return None
    return ListPosition(starts_at, BookingId(UUID(bytes=raw[8:24])))


def search_cursor_of(position: SortPosition, of_search: str) -> str:
    """As `cursor_of`, for the list that a search makes; `of_search` names everything that was asked."""
    raw = _KEY.pack(position.key) + position.vendor_id.bytes
    return base64.urlsafe_b64encode(raw + _check(raw, of_search)).decode("ascii")


def sort_position_of(cursor: str, of_search: str, order: SearchOrder) -> SortPosition | None:
    """Where the page ended; None for anything that is no cursor of this search.

    The check is no secret, so a key may be anybody's: one that no vendor can have is refused. Only a missing price is
    endless.
    """
    raw = _raw(cursor)
    if raw is None or _check(raw[:-_CHECK_BYTES], of_search) != raw[-_CHECK_BYTES:]:
        return None
    key: float = _KEY.unpack(raw[:8])[0]
    if not (abs(key) <= _SORT_KEY_MAX or (key == inf and order is SearchOrder.PRICE)):
        return None
    return SortPosition(key, VendorId(UUID(bytes=raw[8:24])))


def movement_cursor_of(position: tuple[datetime, int], of_list: str) -> str:
    """As `cursor_of`, for a list of movements of the ledger."""
    moved_at, movement_id = position
    return cursor_of(ListPosition(moved_at, BookingId(UUID(int=movement_id))), of_list)


def movement_position_of(cursor: str, of_list: str) -> tuple[datetime, int] | None:
    """Where the page ended; None for anything that is no cursor of this list."""
    position = position_of(cursor, of_list)
    if position is None or position.booking_id.int > _MOVEMENT_ID_MAX:
        return None
    return position.starts_at, position.booking_id.int


def is_cursor(cursor: str) -> bool:
    """Whether it is a cursor by its form, of whatever list."""
    return _raw(cursor) is not None


def _raw(cursor: str) -> bytes | None:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _SIZE else None


def _check(raw: bytes, of_list: str) -> bytes:
    return blake2b(raw + of_list.encode(), digest_size=_CHECK_BYTES).digest()
