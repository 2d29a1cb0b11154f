"""A payment provider in memory, with the hands of its guests and everything that may go wrong with it.

It passes the suite of the real ones. It speaks and signs as the sandbox does.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.money import Money
from domain.payment import Capture, PaymentId, RefundState
from storage.errors import StoreUnavailable
from storage.payment_provider import (
    BadSignature,
    ChargeAsked,
    ChargeSeen,
    Checkout,
    ProviderEntry,
    ProviderEvent,
    ProviderRefused,
    RefundAsked,
    RefundSeen,
)
from storage.sandbox_messages import captured_body, declined_body, event_id_in, event_of, refund_body
from storage.sandbox_signature import HEADER, check, signature
from tests.fakes.stopped_clock import StoppedClock

NAME = "memory"
PAGES = "https://pay.example"
_SECRET = b"m" * 32


@dataclass(slots=True)
class _Charge:
    asked: ChargeAsked
    captures: list[Capture] = field(default_factory=list)
    declined: bool = False
    closed: bool = False


@dataclass(slots=True)
class _Refund:
    """`tries` counts those made under its key: the ones before the last have failed."""

    asked: RefundAsked
    state: RefundState
    tries: int = 1


class MemoryProvider:
    """`messages` are those it has sent, in their order, by event id; nobody delivers them but the test.

    `away` has every call fail, `refuses` names the calls that it says no to, `slow_refunds` leaves them SENT until
    `finish_refunds`.
    """

    def __init__(self, clock: Callable[[], datetime] | None = None, *, fee_basis_points: int = 0) -> None:
        self.name = NAME
        self.clock = clock or StoppedClock()
        self.fee_basis_points = fee_basis_points
        self.away = False
        self.refuses: set[str] = set()
        self.slow_refunds = False
        self.calls: Counter[str] = Counter()
        self.charges: dict[str, _Charge] = {}
        self.refunds: dict[str, _Refund] = {}
        self.messages: dict[str, bytes] = {}
        self.account: list[ProviderEntry] = []

    # What the house asks of it.

    async def open(self, asked: ChargeAsked) -> Checkout:
        self._called("open")
        charge = self.charges.setdefault(asked.key, _Charge(asked))
        if charge.asked.amount != asked.amount:
            raise ProviderRefused(f"{asked.key} was used for another sum")
        return Checkout(f"ref:{asked.key}", f"{PAGES}/{asked.key}")

    async def look(self, asked: ChargeAsked) -> ChargeSeen | None:
        self._called("look")
        charge = self.charges.get(asked.key)
        return None if charge is None else self._seen(charge)

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        self._called("close")
        charge = self.charges.setdefault(asked.key, _Charge(asked))
        charge.closed = True
        return self._seen(charge)

    async def refund(self, asked: RefundAsked) -> RefundSeen:
        self._called("refund")
        refund = self.refunds.get(asked.key)
        anew = refund is not None and refund.state is RefundState.REFUSED and asked.provider_ref is None
        if refund is None or anew:
            self._check_money(asked)
            tries = 1 if refund is None else refund.tries + 1
            refund = self.refunds[asked.key] = _Refund(asked, RefundState.SENT, tries)
            if not self.slow_refunds:
                self._finish(refund)
        elif (refund.asked.capture_reference, refund.asked.amount) != (asked.capture_reference, asked.amount):
            raise ProviderRefused(f"{asked.key} was used for another refund")
        return _refund_seen(refund)

    def checked(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        check(_SECRET, headers.get(HEADER, ""), body, now)
        try:
            return event_id_in(body)
        except ValueError as error:
            raise BadSignature("the message names no event") from error

    def signed(self, body: bytes, at: datetime) -> dict[str, str]:
        return {HEADER: signature(_SECRET, body, at)}

    def understood(self, body: bytes) -> ProviderEvent:
        return event_of(body)

    async def entries(self, since: datetime, until: datetime) -> AsyncIterator[ProviderEntry]:
        self._called("entries")
        for entry in self.account:
            if since <= entry.at < until:
                yield entry

    async def aclose(self) -> None:
        return

    # What its guests do. Each gives the ids of the messages about it.

    def pay(self, payment_id: PaymentId, number: int = 1, *, times: int = 1) -> list[str]:
        """Also for a charge that is closed: then it is late. Again for one that is paid: then it is too much."""
        charge = self.charges[f"{payment_id}/{number}"]
        asked = charge.asked
        told = []
        for _ in range(times):
            reference = f"cap:{asked.key}/{len(charge.captures) + 1}"
            fee_minor = asked.amount.amount_minor * self.fee_basis_points // 10_000
            capture = Capture(reference, number, asked.amount.amount_minor, fee_minor)
            charge.captures.append(capture)
            self._book(reference, asked.amount, payment_id, fee_minor)
            body = captured_body(self._next_id(), payment_id, asked.booking_id, capture, asked.amount.currency)
            told.append(self._tell(body))
        return told

    def decline(self, payment_id: PaymentId, number: int = 1) -> list[str]:
        charge = self.charges[f"{payment_id}/{number}"]
        charge.declined = True
        return [self._tell(declined_body(self._next_id(), payment_id, charge.asked.booking_id, number))]

    def takes(self, asked: ChargeAsked) -> bool:
        """Whether the checkout is open, and what is to be paid is not."""
        charge = self.charges[asked.key]
        return not self._seen(charge).closed and not charge.captures

    def finish_refunds(self) -> list[str]:
        return [self._finish(refund) for refund in self.refunds.values() if refund.state is RefundState.SENT]

    def fail_refund(self, payment_id: PaymentId, number: int = 1) -> str:
        """The guest's bank sends back what was done."""
        refund = self.refunds[f"{payment_id}/refund/{number}"]
        refund.state, seen = RefundState.REFUSED, replace(_refund_seen(refund), state=RefundState.REFUSED)
        self.account = [entry for entry in self.account if entry.reference != seen.provider_ref]
        return self._tell_refund(refund.asked, seen)

    # What it has done.

    def captured_minor(self) -> int:
        return sum(capture.amount_minor for charge in self.charges.values() for capture in charge.captures)

    def refunded_minor(self) -> int:
        return sum(one.asked.amount.amount_minor for one in self.refunds.values() if one.state is RefundState.DONE)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if self.away:
            raise StoreUnavailable("the provider is away")
        if name in self.refuses:
            raise ProviderRefused("it was told to refuse")

    def _check_money(self, asked: RefundAsked) -> None:
        came = sum(
            capture.amount_minor
            for charge in self.charges.values()
            for capture in charge.captures
            if capture.reference == asked.capture_reference
        )
        gone = sum(
            one.asked.amount.amount_minor
            for one in self.refunds.values()
            if one.asked.capture_reference == asked.capture_reference and one.state is not RefundState.REFUSED
        )
        if gone + asked.amount.amount_minor > came:
            raise ProviderRefused(f"{asked.capture_reference} has not so much left")

    def _seen(self, charge: _Charge) -> ChargeSeen:
        closes_at = charge.asked.closes_at
        closed = charge.closed or (closes_at is not None and closes_at <= self.clock())
        return ChargeSeen(tuple(charge.captures), charge.declined and not charge.captures, closed)

    def _finish(self, refund: _Refund) -> str:
        refund.state, asked = RefundState.DONE, refund.asked
        seen = _refund_seen(refund)
        self._book(seen.provider_ref, asked.amount, asked.payment_id, refund=True)
        return self._tell_refund(asked, seen)

    def _book(
        self, reference: str, amount: Money, payment_id: PaymentId, fee_minor: int = 0, *, refund: bool = False
    ) -> None:
        self.account.append(ProviderEntry(reference, amount, refund, self.clock(), payment_id, fee_minor))

    def _tell_refund(self, asked: RefundAsked, seen: RefundSeen) -> str:
        return self._tell(refund_body(self._next_id(), asked.payment_id, asked.booking_id, asked.number, seen))

    def _next_id(self) -> str:
        return f"evt-{len(self.messages) + 1}"

    def _tell(self, body: bytes) -> str:
        event_id = event_id_in(body)
        self.messages[event_id] = body
        return event_id


def _refund_seen(refund: _Refund) -> RefundSeen:
    name = f"ref:{refund.asked.key}"
    return RefundSeen(name if refund.tries == 1 else f"{name}/{refund.tries}", refund.state)
