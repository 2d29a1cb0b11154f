"""Payments, their ledger and the inbox in memory, as `storage.postgres_payments` and `storage.postgres_inbox` keep them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from domain.booking import Booking, BookingStatus
from domain.ids import BookingId, VendorId
from domain.ledger import Account, Balance, BookedMovement, causes, movements
from domain.payment import ChargeState, Payment, PaymentId, current_of, deposit_due
from storage.errors import StoreUnavailable, VersionConflict
from storage.ledger import balances_of
from storage.payment_store import (
    FIRST_BOOKING,
    FIRST_PLACE,
    Due,
    Place,
    Received,
    ReferenceTaken,
    Stuck,
    StuckMessage,
    Unnoticed,
    Unpaid,
)
from storage.postgres import printable


@dataclass(slots=True)
class Row:
    """A payment with what its looks left."""

    payment: Payment
    look_at: datetime | None
    over: bool = False
    tries: int = 0
    error: str | None = None
    stuck: tuple[str, datetime] | None = None
    failing_since: datetime | None = None


class MemoryPayments:
    """`away` makes every call raise, until it is False again. `told` is called where Postgres would notify.

    `bookings` are those of the current tables, which `without_payment` reads.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        bookings: Callable[[], Iterable[Booking]] = tuple,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self.away = False
        self.rows: dict[PaymentId, Row] = {}
        self.ledger: list[BookedMovement] = []
        self._clock = clock
        self._bookings = bookings
        self._told = told

    async def of_booking(self, booking_id: BookingId) -> tuple[Payment, ...]:
        self._check()
        return self._of(booking_id)

    async def of_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, tuple[Payment, ...]]:
        self._check()
        return {booking_id: found for booking_id in booking_ids if (found := self._of(booking_id))}

    async def by_id(self, payment_id: PaymentId) -> Payment | None:
        self._check()
        row = self.rows.get(payment_id)
        return None if row is None else row.payment

    async def write(self, before: Payment | None, after: Payment, *, booking_version: int) -> Payment:
        self._check()
        row = self.rows.get(after.payment_id)
        if before is None:
            conflict = row is not None or any(one.number == after.number for one in self._of(after.booking_id))
        else:
            conflict = row is None or row.payment.revision != before.revision
        if conflict:
            raise VersionConflict(f"payment {after.payment_id} is not as it was read")
        _check_parts(after)
        self._check_references(after)
        nudges = 0 if row is None else row.payment.nudges
        revision = 1 if before is None else before.revision + 1
        stored = replace(after, revision=revision, nudges=nudges)
        stuck, failing = (None, None) if row is None else (row.stuck, row.failing_since)
        self.rows[after.payment_id] = Row(stored, self._clock(), stuck=stuck, failing_since=failing)
        self._book(before, stored, booking_version)
        self._told()
        return replace(after, revision=revision)

    async def rest(self, payment: Payment, *, look_at: datetime | None, over: bool) -> None:
        self._check()
        if (row := self._as_seen(payment)) is not None:
            self.rows[payment.payment_id] = Row(row.payment, look_at, over=over)

    async def failed(
        self, payment: Payment, *, look_at: datetime, error: str, patience: timedelta, anew: bool = True
    ) -> None:
        self._check()
        if (row := self._as_seen(payment)) is None:
            return
        now = self._clock()
        row.look_at, row.tries, row.error = look_at, row.tries + 1, printable(error)
        row.failing_since = row.failing_since or now
        if row.failing_since <= now - patience:
            kept = row.stuck[0] if row.stuck is not None and not anew else printable(error)
            row.stuck = kept, now if row.stuck is None else row.stuck[1]

    async def give_up(
        self, payment: Payment, reason: str, *, look_at: datetime | None = None, anew: bool = True
    ) -> None:
        self._check()
        if (row := self._as_seen(payment)) is not None:
            row.look_at, row.failing_since = look_at, None
            kept = row.stuck[0] if row.stuck is not None and not anew else printable(reason)
            row.stuck = kept, self._clock() if row.stuck is None else row.stuck[1]

    async def retry(self, payment_id: PaymentId) -> bool:
        self._check()
        row = self.rows.get(payment_id)
        if row is None:
            return False
        self.rows[payment_id] = Row(_nudged(row.payment), self._clock(), over=row.over)
        self._told()
        return True

    async def due(self, now: datetime, payments_max: int) -> Sequence[Due]:
        self._check()
        rows = sorted(
            ((row.look_at, row) for row in self.rows.values() if row.look_at is not None and row.look_at <= now),
            key=lambda found: found[0],
        )
        return [Due(row.payment.payment_id, row.payment.booking_id, row.tries) for _, row in rows[:payments_max]]

    async def due_of(self, booking_id: BookingId, now: datetime) -> Mapping[PaymentId, int]:
        self._check()
        rows = [row for row in self.rows.values() if row.payment.booking_id == booking_id]
        return {row.payment.payment_id: row.tries for row in rows if row.look_at is not None and row.look_at <= now}

    async def nudge(self, booking_ids: Sequence[BookingId]) -> int:
        self._check()
        now = self._clock()
        nudged = [row for row in self.rows.values() if row.payment.booking_id in set(booking_ids)]
        for row in nudged:
            row.payment = _nudged(row.payment)
            row.look_at = now if row.look_at is None else min(row.look_at, now)
        if nudged:
            self._told()
        return len(nudged)

    async def without_payment(self, older_than: datetime, bookings_max: int, *, after: Place = FIRST_PLACE) -> Unpaid:
        self._check()
        wanting = [one for one in self._bookings() if deposit_due(one) is not None and one.updated_at < older_than]
        wanting.sort(key=_place)
        page = [one for one in wanting if _place(one) > after][:bookings_max]
        found = [one.booking_id for one in page if self._lacks_payment(one)]
        return Unpaid(found, _place(page[-1]) if len(page) == bookings_max else None)

    async def unnoticed(
        self, older_than: datetime, bookings_max: int, *, after: BookingId = FIRST_BOOKING
    ) -> Unnoticed:
        self._check()
        now = self._clock()
        bookings = {booking.booking_id: booking for booking in self._bookings()}
        page = sorted({row.payment.booking_id for row in self.rows.values() if not row.over})
        page = [booking_id for booking_id in page if booking_id > after][:bookings_max]
        found = []
        for booking_id in page:
            booking, payment = bookings.get(booking_id), current_of(self._of(booking_id))
            if payment is None or booking is None or booking.updated_at >= older_than:
                continue
            row = self.rows[payment.payment_id]
            waits = row.stuck is None and (row.look_at is None or row.look_at > now)
            if waits and not row.over and _moved_on(booking, payment):
                found.append(booking_id)
        return Unnoticed(found, page[-1] if len(page) == bookings_max else None)

    async def stuck(self, payments_max: int) -> Sequence[Stuck]:
        self._check()
        found = [Stuck(row.payment, *row.stuck) for row in self.rows.values() if row.stuck is not None]
        return sorted(found, key=lambda stuck: stuck.since)[:payments_max]

    async def declined(self, booking_ids: Sequence[BookingId]) -> frozenset[BookingId]:
        self._check()
        current = {booking_id: current_of(self._of(booking_id)) for booking_id in booking_ids}
        return frozenset(
            booking_id
            for booking_id, payment in current.items()
            if payment is not None and (charge := payment.payable) is not None and charge.state is ChargeState.DECLINED
        )

    def balances_of_booking(self, booking_id: BookingId) -> tuple[Balance, ...]:
        """As `storage.ledger.Ledger.of_booking` gives them."""
        return _balances(booked for booked in self.ledger if booked.booking_id == booking_id)

    def balances_of_vendor(self, vendor_id: VendorId) -> tuple[Balance, ...]:
        """As `storage.ledger.Ledger.of_vendor` gives them."""
        return _balances(booked for booked in self.ledger if booked.vendor_id == vendor_id)

    def _of(self, booking_id: BookingId) -> tuple[Payment, ...]:
        found = [row.payment for row in self.rows.values() if row.payment.booking_id == booking_id]
        return tuple(sorted(found, key=lambda payment: payment.number))

    def _as_seen(self, payment: Payment) -> Row | None:
        """Its row, where nobody has changed or nudged it since."""
        row = self.rows.get(payment.payment_id)
        if row is None or (row.payment.revision, row.payment.nudges) != (payment.revision, payment.nudges):
            return None
        return row

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the payments are away")

    def _check_references(self, after: Payment) -> None:
        mine = _references(after)
        for row in self.rows.values():
            if row.payment.payment_id != after.payment_id and row.payment.provider == after.provider:
                taken = mine & _references(row.payment)
                if taken:
                    raise ReferenceTaken(f"payment {after.payment_id}: {sorted(taken)} of {row.payment.payment_id}")

    def _book(self, before: Payment | None, after: Payment, decided_by: int) -> None:
        moved = movements(before, after)
        self.ledger.extend(
            BookedMovement(
                len(self.ledger) + position,
                self._clock(),
                after.payment_id,
                after.revision,
                after.booking_id,
                booking_version,
                after.vendor_id,
                after.user_id,
                after.provider,
                after.currency,
                movement,
            )
            for position, (movement, booking_version) in enumerate(
                zip(moved, causes(moved, after, decided_by), strict=True), 1
            )
        )

    def _lacks_payment(self, booking: Booking) -> bool:
        deposit = deposit_due(booking)
        if deposit is None:
            return False
        last = current_of(self._of(booking.booking_id))
        if last is None:
            return True
        if last.number >= booking.terms.deposit_version:
            return False
        return booking.status is BookingStatus.BLOCKED or last.currency != deposit.currency


@dataclass(slots=True)
class Letter:
    """A message with what was made of it."""

    received: Received
    received_at: datetime
    try_at: datetime | None
    handled_at: datetime | None = None
    error: str = ""


class MemoryInbox:
    """`away` makes every call raise, until it is False again. `told` is called where Postgres would notify."""

    def __init__(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, told: Callable[[], None] = lambda: None
    ) -> None:
        self.away = False
        self.letters: dict[tuple[str, str], Letter] = {}
        self._clock = clock
        self._told = told

    async def put(self, provider: str, event_id: str, body: bytes) -> bool:
        self._check()
        if (provider, event_id) in self.letters:
            return False
        now = self._clock()
        self.letters[provider, event_id] = Letter(Received(provider, event_id, body), now, now)
        self._told()
        return True

    async def waiting(self, messages_max: int) -> Sequence[Received]:
        self._check()
        now = self._clock()
        return [
            letter.received
            for letter in self.letters.values()
            if letter.handled_at is None and letter.try_at is not None and letter.try_at <= now
        ][:messages_max]

    async def handled(self, received: Received) -> None:
        self._check()
        if (letter := self._unhandled(received.provider, received.event_id)) is not None:
            letter.handled_at, letter.try_at, letter.error = self._clock(), None, ""

    async def failed(self, received: Received, *, try_at: datetime | None, error: str) -> None:
        self._check()
        if (letter := self._unhandled(received.provider, received.event_id)) is not None:
            letter.received = replace(letter.received, tries=letter.received.tries + 1)
            letter.try_at, letter.error = try_at, printable(error)

    async def stuck(self, messages_max: int) -> Sequence[StuckMessage]:
        self._check()
        return [
            StuckMessage(letter.received, letter.error, letter.received_at)
            for letter in self.letters.values()
            if letter.handled_at is None and letter.try_at is None
        ][:messages_max]

    async def retry(self, provider: str, event_id: str) -> bool:
        self._check()
        letter = self._unhandled(provider, event_id)
        if letter is None:
            return False
        letter.try_at = self._clock()
        letter.received = replace(letter.received, tries=0)
        self._told()
        return True

    async def forget(self, handled_before: datetime) -> int:
        self._check()
        old = [
            key
            for key, letter in self.letters.items()
            if letter.handled_at is not None and letter.handled_at < handled_before
        ]
        for key in old:
            del self.letters[key]
        return len(old)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the inbox is away")

    def _unhandled(self, provider: str, event_id: str) -> Letter | None:
        letter = self.letters.get((provider, event_id))
        return letter if letter is not None and letter.handled_at is None else None


def _moved_on(booking: Booking, payment: Payment) -> bool:
    deposit = deposit_due(booking)
    if deposit is not None:
        return deposit.amount_minor != payment.amount_minor
    closing = any(charge.state is ChargeState.CLOSING for charge in payment.charges)
    waits = closing and booking.status in (BookingStatus.AVAILED, BookingStatus.NO_SHOW)
    return booking.version > payment.settled_version and not waits


def _place(booking: Booking) -> Place:
    return booking.updated_at, booking.booking_id


def _nudged(payment: Payment) -> Payment:
    return replace(payment, nudges=payment.nudges + 1)


def _references(payment: Payment) -> set[tuple[str, str]]:
    """What the provider calls its charges and captures, which no other payment may have."""
    charges = {("charge", charge.provider_ref) for charge in payment.charges if charge.provider_ref is not None}
    return charges | {("capture", capture.reference) for capture in payment.captures}


def _check_parts(payment: Payment) -> None:
    """What the database's constraints say. Raises ValueError."""
    parts = (*payment.charges, *payment.captures, *payment.refunds)
    if any(part.amount_minor <= 0 for part in (payment, *parts)) or payment.kept_minor < 0:
        raise ValueError(f"an amount of payment {payment.payment_id} is not above zero")
    if not {received.charge_number for received in payment.captures} <= {charge.number for charge in payment.charges}:
        raise ValueError(f"payment {payment.payment_id} has a capture for no charge")
    if not {refund.capture_reference for refund in payment.refunds} <= {one.reference for one in payment.captures}:
        raise ValueError(f"payment {payment.payment_id} has a refund of no capture")


def _balances(booked: Iterable[BookedMovement]) -> tuple[Balance, ...]:
    entries: list[tuple[str, Account, int]] = []
    for one in booked:
        moved = one.movement
        entries.append((one.currency, moved.source, -moved.amount_minor))
        entries.append((one.currency, moved.target, moved.amount_minor))
    return balances_of(entries)
