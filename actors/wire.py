"""Commands and answers as bytes between processes of one cluster: pickle, with short ways for the objects we send.

Only ever read from our own actors. A frozen slotted dataclass pickles slowly by default (a Python call per object and a
list of states); here it becomes its class and the tuple of its fields.
"""

import copyreg
import io
import pickle
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any
from uuid import UUID

from actors import outcome
from domain import availability, booking, command, money, rejection, search, vendor


def pack(value: object) -> bytes:
    """Bytes that `unpack` turns into an equal value."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = _SHORT_WAYS
    pickler.dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - the bytes come from an actor of this cluster, over Ray


def _uuid(number: int) -> UUID:
    return UUID(int=number)


def _reducer(kind: type) -> Callable[[Any], tuple[type, tuple[object, ...]]]:
    names = [field.name for field in fields(kind)]
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda one: (kind, (values(one),))
    return lambda one: (kind, values(one))


_SHORT_WAYS: dict[type, Callable[[Any], Any]] = dict(copyreg.dispatch_table)
_SHORT_WAYS[UUID] = lambda one: (_uuid, (one.int,))
for _kind in (
    outcome.Done,
    outcome.VendorDone,
    outcome.Unavailable,
    rejection.Rejection,
    booking.Booking,
    booking.BookedSeat,
    booking.Contact,
    booking.Terms,
    money.Money,
    command.PlaceHold,
    command.AmendBooking,
    command.SetStatus,
    command.CreateVendor,
    command.UpdateVendor,
    command.Caller,
    command.Once,
    command.SittingTime,
    command.StayDates,
    vendor.Vendor,
    vendor.SeatGroup,
    availability.AvailabilityQuery,
    availability.FreeSeats,
    search.SeatWish,
    search.Verdict,
):
    _SHORT_WAYS[_kind] = _reducer(_kind)
