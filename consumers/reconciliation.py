"""Reconciliation: what the provider says it took and gave back in a day beside what we have, each difference by its name.

Money that came and that we know nothing of is asked for at once, so that the payment heals; the difference is kept all
the same, as it was found.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol, TypeAlias

from consumers.rounds import Rounds
from domain.payment import PaymentId
from storage.errands import Errands
from storage.errors import VersionConflict
from storage.payment_provider import PaymentProvider, ProviderEntry, ProviderRefused
from storage.payment_store import PaymentStore
from storage.reconciliations import Difference, Reconciliation, Sum

NAME: Final = "payment_reconciliation"

_DAY: Final = timedelta(days=1)
_DAYS_BACK: Final = 3
_SETTLED_AFTER: Final = timedelta(hours=1)
"""So long after midnight what is on its way has come."""

_log = logging.getLogger(__name__)

_Named: TypeAlias = tuple[str, bool]
"""A provider's reference, and whether it is a refund's."""


class OurBooks(Protocol):
    """`storage.reconciliations.Reconciliations` is one. Every method may raise StoreUnavailable."""

    async def our_entries(self, provider: str, since: datetime, until: datetime) -> Sequence[ProviderEntry]: ...

    async def our_entries_by_reference(self, provider: str, references: Sequence[str]) -> Sequence[ProviderEntry]: ...

    async def of_day(self, day: date, provider: str) -> Reconciliation | None: ...

    async def save(self, made: Reconciliation) -> Reconciliation: ...


class Reconciler:
    """Every method may raise StoreUnavailable, and may be called again."""

    def __init__(self, provider: PaymentProvider, books: OurBooks, payments: PaymentStore) -> None:
        self._provider = provider
        self._books = books
        self._payments = payments
        self._errands = Errands(provider)

    async def reconcile(self, day: date) -> Reconciliation:
        """Compare a day of UTC, keep what was found, and ask the provider about what we lack."""
        since = datetime.combine(day, time(), UTC)
        theirs = await self._theirs(since, since + _DAY)
        ours = await self._ours(theirs, since, since + _DAY)
        differences = tuple(_differences(ours, theirs))
        name = self._provider.name
        made = Reconciliation(day, name, _sums(ours.values()), _sums(theirs.values()), differences)
        made = await self._books.save(made)
        for difference in differences:
            _log.warning("%s, %s: %s: %s", day, name, difference.reference, difference.what)
        for payment_id in dict.fromkeys(found.payment_id for found in differences if found.ours_minor is None):
            if payment_id is not None:
                await self._heal(payment_id)
        return made

    async def done(self, day: date) -> bool:
        return await self._books.of_day(day, self._provider.name) is not None

    async def _theirs(self, since: datetime, until: datetime) -> dict[_Named, ProviderEntry]:
        return {_name(entry): entry async for entry in self._provider.entries(since, until)}

    async def _ours(
        self, theirs: Mapping[_Named, ProviderEntry], since: datetime, until: datetime
    ) -> dict[_Named, ProviderEntry]:
        """What we have of what is theirs, whenever we learnt of it, and what we learnt that day and is nowhere theirs.

        Clocks and ways differ: what is theirs of one day may be ours of the next.
        """
        name = self._provider.name
        ours = {_name(entry): entry for entry in await self._books.our_entries(name, since, until)}
        alone = {named: entry for named, entry in ours.items() if named not in theirs}
        if alone:
            around = {**await self._theirs(since - _DAY, since), **await self._theirs(until, until + _DAY)}
            alone = {named: entry for named, entry in alone.items() if named not in around}
        references = sorted({reference for reference, _ in theirs})
        named = {_name(entry): entry for entry in await self._books.our_entries_by_reference(name, references)}
        return alone | {name: entry for name, entry in named.items() if name in theirs}

    async def _heal(self, payment_id: PaymentId) -> None:
        """Have the payment say of every charge what the provider says, and have it looked at."""
        payment = await self._payments.by_id(payment_id)
        if payment is None:
            return
        try:
            after = payment
            for charge in payment.charges:
                after = await self._errands.look(after, charge)
            if after != payment:
                await self._payments.write(payment, after, booking_version=payment.number)
        except (VersionConflict, ProviderRefused) as error:
            _log.info("payment %s is left to the next reconciliation: %s", payment_id, error)
        await self._payments.nudge([payment.booking_id])


class DailyReconciliation(Rounds):
    """Each day once it is over, also those that went by while nobody ran. `run` once, in one task."""

    def __init__(self, reconciler: Reconciler, clock: Callable[[], datetime], *, every_seconds: float = 600.0) -> None:
        super().__init__(NAME, every_seconds)
        self._reconciler = reconciler
        self._clock = clock

    async def _round(self) -> None:
        await self.catch_up()

    async def catch_up(self) -> int:
        """Reconcile the last days that were not, and say how many that were. Raises StoreUnavailable."""
        made, today = 0, (self._clock() - _SETTLED_AFTER).date()
        for days in range(_DAYS_BACK, 0, -1):
            day = today - timedelta(days=days)
            if not await self._reconciler.done(day):
                await self._reconciler.reconcile(day)
                made += 1
        self._handled += made
        return made


def _differences(ours: Mapping[_Named, ProviderEntry], theirs: Mapping[_Named, ProviderEntry]) -> Iterable[Difference]:
    for named in sorted({*ours, *theirs}):
        mine, its = ours.get(named), theirs.get(named)
        what = _what(mine, its)
        if what:
            either = mine or its
            if either is None:
                raise RuntimeError("a name without an entry")
            yield Difference(
                either.reference,
                what,
                either.amount.currency,
                None if mine is None else mine.amount.amount_minor,
                None if its is None else its.amount.amount_minor,
                either.payment_id,
            )


def _what(ours: ProviderEntry | None, theirs: ProviderEntry | None) -> str:
    """What is wrong, in words; empty where nothing is."""
    if ours is None:
        return "a refund that we do not know" if theirs is not None and theirs.refund else "money that we do not have"
    if theirs is None:
        return "a refund that the provider does not know" if ours.refund else "money that the provider does not have"
    if ours.amount.currency != theirs.amount.currency:
        return f"another currency: {ours.amount.currency} with us, {theirs.amount.currency} there"
    if ours.amount != theirs.amount:
        return "another amount"
    if ours.fee_minor != theirs.fee_minor:
        return f"another fee: {ours.fee_minor} with us, {theirs.fee_minor} there"
    return ""


def _sums(entries: Iterable[ProviderEntry]) -> tuple[Sum, ...]:
    totals: dict[str, list[int]] = {}
    for entry in entries:
        captured_refunded_fees = totals.setdefault(entry.amount.currency, [0, 0, 0])
        captured_refunded_fees[int(entry.refund)] += entry.amount.amount_minor
        captured_refunded_fees[2] += entry.fee_minor
    return tuple(Sum(currency, *totals[currency]) for currency in sorted(totals))


def _name(entry: ProviderEntry) -> _Named:
    return entry.reference, entry.refund
