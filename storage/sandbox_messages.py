"""What the sandbox has to tell us: what a message says, and the messages that wait to be delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from domain.ids import BookingId
from domain.payment import Capture, PaymentId, RefundState
from storage.payment_provider import ProviderEvent, ProviderEventKind, RefundSeen
from storage.postgres import Database

CHANNEL: Final = "sandbox"
"""Of Postgres notifications, for whoever delivers."""


@dataclass(frozen=True, slots=True)
class Message:
    """`event_id` is the same for the copies of a message; `delivery_id` is one copy's own. `tries` counts the present one."""

    delivery_id: int
    event_id: str
    body: bytes
    tries: int


class SandboxMessages:
    """Messages on their way. Several couriers may take from it at once. Each method may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, now: datetime, until: datetime, messages_max: int) -> Sequence[Message]:
        """Those that are due, the longest first. They are due again at `until`, unless the caller says something."""
        rows = await self._database.rows("sandbox_take", now, until, messages_max)
        return [Message(row["delivery_id"], row["event_id"], row["body"], row["tries"]) for row in rows]

    async def delivered(self, message: Message, at: datetime) -> None:
        await self._database.value("sandbox_delivered", message.delivery_id, at)

    async def failed(self, message: Message, error: str, *, try_at: datetime | None) -> None:
        """It is tried again then; never if None."""
        await self._database.value("sandbox_undelivered", message.delivery_id, error, try_at)


def captured_body(
    event_id: str, payment_id: PaymentId, booking_id: BookingId, capture: Capture, currency: str
) -> bytes:
    return _body(
        event_id,
        ProviderEventKind.CAPTURED,
        payment_id,
        booking_id,
        charge_number=capture.charge_number,
        capture_reference=capture.reference,
        amount_minor=capture.amount_minor,
        fee_minor=capture.fee_minor,
        currency=currency,
    )


def declined_body(event_id: str, payment_id: PaymentId, booking_id: BookingId, charge_number: int) -> bytes:
    return _body(event_id, ProviderEventKind.DECLINED, payment_id, booking_id, charge_number=charge_number)


def refund_body(event_id: str, payment_id: PaymentId, booking_id: BookingId, number: int, seen: RefundSeen) -> bytes:
    return _body(
        event_id,
        ProviderEventKind.REFUND,
        payment_id,
        booking_id,
        refund_number=number,
        refund_reference=seen.provider_ref,
        refund_state=seen.state.value,
    )


def event_id_in(body: bytes) -> str:
    """Raises ValueError where there is none."""
    return _text(_document(body), "event_id")


def event_of(body: bytes) -> ProviderEvent:
    """What a message says. Raises ValueError where it makes no sense."""
    said = _document(body)
    event_id = _text(said, "event_id")
    kind = ProviderEventKind(_text(said, "kind"))
    if kind is ProviderEventKind.OTHER:
        return ProviderEvent(event_id, kind)
    payment_id = PaymentId(UUID(_text(said, "payment_id")))
    if kind is ProviderEventKind.REFUND:
        state = RefundState(_text(said, "refund_state"))
        refund = RefundSeen(_text(said, "refund_reference"), state)
        return ProviderEvent(event_id, kind, payment_id, refund_number=_number(said, "refund_number"), refund=refund)
    charge_number = _number(said, "charge_number")
    if kind is not ProviderEventKind.CAPTURED:
        return ProviderEvent(event_id, kind, payment_id, charge_number)
    capture = Capture(
        _text(said, "capture_reference"),
        charge_number,
        _number(said, "amount_minor"),
        _number(said, "fee_minor", least=0),
    )
    return ProviderEvent(event_id, kind, payment_id, charge_number, capture, _text(said, "currency"))


def _body(
    event_id: str, kind: ProviderEventKind, payment_id: PaymentId, booking_id: BookingId, **rest: str | int
) -> bytes:
    said = {
        "event_id": event_id,
        "kind": kind.value,
        "payment_id": str(payment_id),
        "booking_id": str(booking_id),
        **rest,
    }
    return orjson.dumps(said)


def _document(body: bytes) -> dict[str, Any]:
    said = orjson.loads(body)
    if not isinstance(said, dict):
        raise ValueError("a message is an object")  # noqa: TRY004 - what came from outside has one kind of fault
    return said


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError(f"{name} is no text of 1 to 200 characters")
    return value


def _number(said: dict[str, Any], name: str, *, least: int = 1) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is no number from {least} on")
    return value
