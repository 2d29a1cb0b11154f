"""The sandbox, a payment provider of our own without any money: what it keeps, as if it were another company.

Nothing of ours reads its tables but this file, `storage.sandbox_messages` and the SQL they name. Time decides by itself
what has come: money and refunds of a later instant are not there yet.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from domain.ids import BookingId
from domain.money import Money
from domain.payment import Capture, PaymentId, RefundState
from storage.payment_provider import (
    ChargeAsked,
    ChargeSeen,
    ProviderEntry,
    ProviderRefused,
    RefundAsked,
    RefundSeen,
)
from storage.postgres import Database
from storage.sandbox_checkout import CheckoutState, Choice, Fate, SandboxCheckout
from storage.sandbox_messages import captured_body, declined_body, refund_body

_A_MOMENT: Final = timedelta(seconds=1)


class Fault(StrEnum):
    """What an operator, or a test, can have go wrong with the whole sandbox."""

    AWAY = "away"
    REFUSES_REFUNDS = "refuses_refunds"
    SLOW_REFUNDS = "slow_refunds"
    """A refund is taken and is done some time later, which a message tells."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """`fee_basis_points` of each payment are the sandbox's own; what is late comes `late_seconds` later."""

    fee_basis_points: int = 0
    late_seconds: float = 20.0

    @property
    def late(self) -> timedelta:
        return timedelta(seconds=self.late_seconds)

    def fee_of(self, amount_minor: int) -> int:
        """Rounded down."""
        return amount_minor * self.fee_basis_points // 10_000


@dataclass(frozen=True, slots=True)
class _Charge:
    """A charge as it stands at some instant; `references` are of the money that has come."""

    payment_id: PaymentId
    number: int
    booking_id: BookingId
    amount: Money
    closes_at: datetime | None
    returns_to: str
    closed: bool
    declined: bool
    references: tuple[str, ...]
    fee_minor: int

    def seen(self) -> ChargeSeen:
        captures = tuple(
            Capture(reference, self.number, self.amount.amount_minor, self.fee_minor) for reference in self.references
        )
        return ChargeSeen(captures, declined=self.declined and not captures, closed=self.closed)

    def checkout(self) -> SandboxCheckout:
        return SandboxCheckout(
            self.payment_id,
            self.number,
            self.booking_id,
            self.amount,
            self._state(),
            len(self.references),
            self.closes_at,
            self.returns_to,
        )

    def _state(self) -> CheckoutState:
        if self.references:
            return CheckoutState.PAID
        if self.closed:
            return CheckoutState.CLOSED
        return CheckoutState.DECLINED if self.declined else CheckoutState.OPEN


@dataclass(frozen=True, slots=True)
class _Telling:
    """A message to be kept with what it tells of; `deliver_at` None is one that gets lost."""

    reference: str
    event_id: str
    body: bytes
    deliver_at: datetime | None


class Sandbox:
    """Each method may raise StoreUnavailable, and may be called again; `clock` says what has come by now."""

    def __init__(self, database: Database, clock: Callable[[], datetime], policy: SandboxPolicy | None = None) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy or SandboxPolicy()

    # What the house asks of it.

    async def open(self, asked: ChargeAsked) -> None:
        """Raises ProviderRefused where the key was used for another sum."""
        await self._keep("sandbox_open", asked)

    async def charge(self, asked: ChargeAsked) -> ChargeSeen | None:
        found = await self._charge(asked.payment_id, asked.number)
        return None if found is None else found.seen()

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        """Also one that it never heard of, which then cannot be opened any more."""
        await self._keep("sandbox_close", asked)
        found = await self._charge(asked.payment_id, asked.number)
        if found is None:
            raise RuntimeError("a charge that was just written is gone")
        return found.seen()

    async def refund(self, asked: RefundAsked) -> RefundSeen:
        """Raises ProviderRefused where there is no such money, or it has gone back already."""
        seen = await self._refund(asked)
        if seen is not None:
            return seen
        faults = await self.faults()
        if Fault.REFUSES_REFUNDS in faults:
            return RefundSeen("", RefundState.REFUSED, "the sandbox was told to refuse refunds")
        slow = Fault.SLOW_REFUNDS in faults
        with suppress(asyncpg.UniqueViolationError):  # somebody else asked for the same at the same time
            await self._make_refund(asked, slow=slow)
        # Looked at again also where there was nothing left: the same refund may just have taken it.
        seen = await self._refund(asked)
        if seen is None:
            raise ProviderRefused(f"{asked.capture_reference} has not so much that could go back")
        return seen

    async def moved(
        self, since: datetime, until: datetime, after: tuple[datetime, str], entries_max: int
    ) -> Sequence[ProviderEntry]:
        """What moved in that time and strictly after that position, the oldest first."""
        until = min(until, self._clock() + timedelta(microseconds=1))
        return [
            ProviderEntry(
                row["reference"],
                Money(row["amount_minor"], row["currency"]),
                row["refund"],
                row["at"],
                PaymentId(UUID(int=row["payment_id"].int)),
                row["fee_minor"],
            )
            for row in await self._database.rows("sandbox_moved", since, until, *after, entries_max)
        ]

    # What goes wrong with it.

    async def faults(self) -> frozenset[Fault]:
        return frozenset(Fault(row["name"]) for row in await self._database.rows("sandbox_faults"))

    async def set_fault(self, fault: Fault, *, on: bool) -> None:
        await self._database.value("sandbox_set_fault", fault.value, on)

    # What its guests do.

    async def checkout(self, payment_id: PaymentId) -> SandboxCheckout | None:
        found = await self._current(payment_id)
        return None if found is None else found.checkout()

    async def choose(
        self, payment_id: PaymentId, choice: Choice, fate: Fate, *, charge_number: int | None = None
    ) -> SandboxCheckout | None:
        found = await self._current(payment_id)
        if found is None or charge_number not in (None, found.number):
            return None if found is None else found.checkout()
        if choice is Choice.DECLINE:
            await self._decline(found, fate)
        else:
            await self._pay(found, choice, fate)
        changed = await self._charge(payment_id, found.number)
        return (changed or found).checkout()

    async def _pay(self, charge: _Charge, choice: Choice, fate: Fate) -> None:
        now = self._clock()
        late = choice is Choice.PAY_LATE
        comes_at = self._comes_late_at(charge, now) if late else now
        tellings = [
            telling
            for reference in _references(charge, choice)
            for telling in self._told(charge, reference, fate, comes_at)
        ]
        await self._database.row(
            "sandbox_capture",
            charge.payment_id,
            charge.number,
            now,
            _references(charge, choice),
            late,
            self._policy.fee_of(charge.amount.amount_minor),
            comes_at,
            *_columns(tellings),
        )

    def _comes_late_at(self, charge: _Charge, now: datetime) -> datetime:
        if charge.closed:
            return now
        return now + self._policy.late if charge.closes_at is None else charge.closes_at + _A_MOMENT

    def _told(self, charge: _Charge, reference: str, fate: Fate, comes_at: datetime) -> Iterator[_Telling]:
        """The messages about that money, each copy."""
        fee = self._policy.fee_of(charge.amount.amount_minor)
        capture = Capture(reference, charge.number, charge.amount.amount_minor, fee)
        event_id = f"evt_{reference}"
        body = captured_body(event_id, charge.payment_id, charge.booking_id, capture, charge.amount.currency)
        for deliver_at in self._moments(fate, comes_at):
            yield _Telling(reference, event_id, body, deliver_at)
        if fate is Fate.OUT_OF_ORDER:
            yield self._declined(charge, reference, comes_at + self._policy.late)

    async def _decline(self, charge: _Charge, fate: Fate) -> None:
        now = self._clock()
        about = self._declined(charge, "", now)
        tellings = [_Telling("", about.event_id, about.body, at) for at in self._moments(fate, now)]
        _, *columns = _columns(tellings)
        await self._database.row("sandbox_decline", charge.payment_id, charge.number, now, *columns)

    def _declined(self, charge: _Charge, reference: str, deliver_at: datetime) -> _Telling:
        """Each refused try has a message of its own."""
        event_id = f"evt_{uuid4().hex}"
        body = declined_body(event_id, charge.payment_id, charge.booking_id, charge.number)
        return _Telling(reference, event_id, body, deliver_at)

    def _moments(self, fate: Fate, at: datetime) -> tuple[datetime | None, ...]:
        """When each copy of a message is delivered; None for one that gets lost."""
        match fate:
            case Fate.NOW | Fate.OUT_OF_ORDER:
                return (at,)
            case Fate.LOST:
                return (None,)
            case Fate.DOUBLED:
                return at, at
            case Fate.LATE:
                return (at + self._policy.late,)

    async def _keep(self, statement: str, asked: ChargeAsked) -> None:
        same = await self._database.value(
            statement,
            asked.payment_id,
            asked.number,
            asked.booking_id,
            asked.amount.amount_minor,
            asked.amount.currency,
            asked.closes_at,
            asked.returns_to,
            self._clock(),
        )
        if not same:
            raise ProviderRefused(f"{asked.key} was used for another sum")

    async def _current(self, payment_id: PaymentId) -> _Charge | None:
        """The newest charge that can be paid, or else the newest."""
        charges = await self._charges(payment_id)
        open_ones = [charge for charge in charges if not charge.closed and not charge.references]
        return next(iter([*reversed(open_ones), *reversed(charges)]), None)

    async def _charge(self, payment_id: PaymentId, number: int) -> _Charge | None:
        return next((charge for charge in await self._charges(payment_id) if charge.number == number), None)

    async def _charges(self, payment_id: PaymentId) -> list[_Charge]:
        rows = await self._database.rows("sandbox_charges", payment_id, self._clock())
        return [_charge_of(row) for row in rows]

    async def _refund(self, asked: RefundAsked) -> RefundSeen | None:
        row = await self._database.row("sandbox_refund", asked.payment_id, asked.number, self._clock())
        if row is None:
            return None
        if (row["capture_reference"], row["amount_minor"]) != (asked.capture_reference, asked.amount.amount_minor):
            raise ProviderRefused(f"{asked.key} was used for another refund")
        return RefundSeen(row["reference"], RefundState.DONE if row["done"] else RefundState.SENT)

    async def _make_refund(self, asked: RefundAsked, *, slow: bool) -> None:
        """Without effect where there is not so much to give back."""
        now = self._clock()
        reference = f"sbr_{asked.payment_id.hex}_{asked.number}"
        event_id = f"evt_{reference}"
        done = RefundSeen(reference, RefundState.DONE)
        body = refund_body(event_id, asked.payment_id, asked.booking_id, asked.number, done)
        await self._database.value(
            "sandbox_make_refund",
            asked.payment_id,
            asked.number,
            reference,
            asked.capture_reference,
            asked.amount.amount_minor,
            asked.amount.currency,
            now,
            now + self._policy.late if slow else now,
            event_id,
            body,
        )


def _references(charge: _Charge, choice: Choice) -> list[str]:
    """What each payment of a charge is known by, so that doing the same again brings nothing more."""
    stem = f"sbx_{charge.payment_id.hex}_{charge.number}"
    match choice:
        case Choice.PAY_TWICE:
            return [f"{stem}_1", f"{stem}_2"]
        case Choice.PAY_LATE:
            return [f"{stem}_late"]
        case _:
            return [f"{stem}_1"]


def _columns(tellings: Sequence[_Telling]) -> tuple[list[str], list[str], list[bytes], list[datetime | None]]:
    return (
        [telling.reference for telling in tellings],
        [telling.event_id for telling in tellings],
        [telling.body for telling in tellings],
        [telling.deliver_at for telling in tellings],
    )


def _charge_of(row: asyncpg.Record) -> _Charge:
    return _Charge(
        PaymentId(UUID(int=row["payment_id"].int)),
        row["charge_number"],
        BookingId(UUID(int=row["booking_id"].int)),
        Money(row["amount_minor"], row["currency"]),
        row["closes_at"],
        row["returns_to"],
        row["closed"],
        row["declined"],
        tuple(row["captures"]),
        row["fee_minor"],
    )
