"""Reconciliation: what the provider says it took and gave back in a day beside what we have, each difference by its name.

Money that came and that we know nothing of is asked for at once, so that the payment heals; the difference is kept all
the same, as it was found, and says whether that is still to be done.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol, TypeAlias

from consumers.rounds import Rounds
from domain.money import Money
from domain.payment import BY_HAND, Payment, PaymentId
from storage.errands import Errands
from storage.errors import StoreError, StoreUnavailable
from storage.payment_provider import PaymentProvider, ProviderEntry, ProviderRefused
from storage.payment_store import PaymentStore
from storage.reconciliations import Difference, Reconciliation, Sum

NAME: Final = "payment_reconciliation"

_DAY: Final = timedelta(days=1)
_DAYS_BACK: Final = 7
_SETTLED_AFTER: Final = timedelta(hours=1)
"""So long after midnight what is on its way has come."""

_REFUND_MAX: Final = timedelta(days=30)
"""A refund that took longer to be done is named as a difference, so that no day lists a provider's whole account."""

_log = logging.getLogger(__name__)

_Named: TypeAlias = tuple[str, bool]
"""A provider's reference, and whether it is a refund's."""


class OurBooks(Protocol):
    """`storage.reconciliations.Reconciliations` is one. Every method may raise StoreUnavailable."""

    async def our_entries(self, provider: str, since: datetime, until: datetime) -> Sequence[ProviderEntry]: ...

    async def our_entries_by_reference(self, provider: str, references: Sequence[str]) -> Sequence[ProviderEntry]: ...

    async def of_day(self, day: date, provider: str) -> Reconciliation | None: ...

    async def save(self, made: Reconciliation) -> Reconciliation: ...

    async def healed(self, made: Reconciliation) -> None: ...


class Reconciler:
    """Every method may be called again."""

    def __init__(self, provider: PaymentProvider, books: OurBooks, payments: PaymentStore) -> None:
        self._provider = provider
        self._books = books
        self._payments = payments
        self._errands = Errands(provider)

    async def reconcile(self, day: date) -> Reconciliation:
        """Compare a day of UTC, keep what was found, and ask the provider about what we lack.

        What could not be asked for stays `unhealed`. Raises StoreUnavailable and ProviderRefused where it could not be compared.
        """
        made = await self._books.save(await self._compared(day))
        for difference in made.differences:
            _log.warning("%s, %s: %s: %s", day, made.provider, difference.reference, difference.what)
        return await self._heal(made)

    async def settle(self, day: date) -> bool:
        """Compare the day if nobody has since it was over, and heal what is not healed; whether there was anything to do.

        Raises StoreUnavailable and ProviderRefused, also where something stays unhealed.
        """
        made = await self._books.of_day(day, self._provider.name)
        if made is not None and _final(made):
            if not made.unhealed:
                return False
            made = await self._heal(made)
        else:
            made = await self.reconcile(day)
        if made.unhealed:
            named = ", ".join(map(str, made.unhealed))
            raise StoreUnavailable(f"what came was not booked yet: payment {named}")
        return True

    async def _compared(self, day: date) -> Reconciliation:
        since = datetime.combine(day, time(), UTC)
        until = since + _DAY
        theirs = await self._theirs(since, until)
        ours = await self._ours(theirs)
        learnt = {_name(entry): entry for entry in await self._books.our_entries(self._provider.name, since, until)}
        alone = {named: entry for named, entry in learnt.items() if named not in theirs}
        elsewhere = await self._elsewhere(alone, since, until) if alone else {}
        for named, entry in alone.items():
            found = elsewhere.get(named)
            if found is not None and found.amount == entry.amount:
                continue
            ours[named] = entry
            if found is not None:
                theirs[named] = found
        differences = tuple(_differences(ours, theirs))
        return Reconciliation(day, self._provider.name, _sums(ours.values()), _sums(theirs.values()), differences)

    async def _theirs(self, since: datetime, until: datetime) -> dict[_Named, ProviderEntry]:
        return {_name(entry): entry async for entry in self._provider.entries(since, until)}

    async def _ours(self, theirs: Mapping[_Named, ProviderEntry]) -> dict[_Named, ProviderEntry]:
        """What we have of what is theirs, whenever we learnt of it."""
        references = sorted({reference for reference, _ in theirs})
        found = await self._books.our_entries_by_reference(self._provider.name, references)
        return {_name(entry): entry for entry in found if _name(entry) in theirs}

    async def _elsewhere(
        self, alone: Mapping[_Named, ProviderEntry], since: datetime, until: datetime
    ) -> dict[_Named, ProviderEntry]:
        """What the provider has, under another day, of what we learnt in this one.

        A refund is among what moved since we asked for it. Of money the provider is asked by its charge: we may learn of it
        long after it came.
        """
        asked = (entry.at for named, entry in alone.items() if not named[0].startswith(BY_HAND))
        asked_since = max(min(since, *asked), since - _REFUND_MAX)
        found: dict[_Named, ProviderEntry] = {}
        for start, end in ((asked_since - _DAY, since), (until, until + _DAY)):
            async for entry in self._provider.entries(start, end):
                if _name(entry) in alone:
                    found[_name(entry)] = entry
        for named, entry in alone.items():
            if named not in found and not entry.refund and (shown := await self._shown(entry)) is not None:
                found[named] = shown
        return found

    async def _shown(self, ours: ProviderEntry) -> ProviderEntry | None:
        """This money as the provider shows it with its charge."""
        payment = None if ours.payment_id is None else await self._payments.by_id(ours.payment_id)
        numbers = () if payment is None else (one for one in payment.captures if one.reference == ours.reference)
        known = next(iter(numbers), None)
        if payment is None or known is None:
            return None
        try:
            # Without what we know, which the answer would only be added to.
            seen = await self._errands.look(replace(payment, captures=()), payment.charge(known.charge_number))
        except ProviderRefused as error:
            _log.warning("%s says nothing of the charge of %s: %s", self._provider.name, ours.reference, error)
            return None
        for one in seen.captures:
            if one.reference == ours.reference:
                return replace(ours, amount=Money(one.amount_minor, payment.currency), fee_minor=one.fee_minor)
        return None

    async def _heal(self, made: Reconciliation) -> Reconciliation:
        """Ask about each payment that is not healed, and keep which of them were; one that fails is left to the next time."""
        healed = {payment_id for payment_id in made.unhealed if await self._asked_about(payment_id)}
        if not healed:
            return made
        made = replace(
            made,
            differences=tuple(
                replace(found, unhealed=False) if found.payment_id in healed else found for found in made.differences
            ),
        )
        await self._books.healed(made)
        return made

    async def _asked_about(self, payment_id: PaymentId) -> bool:
        """Have the payment say of every charge what the provider says, and have it looked at. Whether that worked."""
        try:
            payment = await self._payments.by_id(payment_id)
            if payment is None:
                return True
            await self._bring_up(payment)
            await self._payments.nudge([payment.booking_id])
        except StoreError as error:
            _log.warning("payment %s is not healed yet: %s: %s", payment_id, type(error).__name__, error)
            return False
        return True

    async def _bring_up(self, payment: Payment) -> None:
        """Of a charge that the provider refuses to speak of nothing more can be learnt: its difference stays named."""
        after = payment
        for charge in payment.charges:
            try:
                after = await self._errands.look(after, charge)
            except ProviderRefused as error:
                _log.warning("charge %d of payment %s: %s", charge.number, payment.payment_id, error)
        if after != payment:
            await self._payments.write(payment, after, booking_version=payment.number)


class DailyReconciliation(Rounds):
    """Each day once it is over, and once more until that worked; nobody goes back further than a week by itself.

    `run` once, in one task.
    """

    def __init__(self, reconciler: Reconciler, clock: Callable[[], datetime], *, every_seconds: float = 600.0) -> None:
        super().__init__(NAME, every_seconds)
        self._reconciler = reconciler
        self._clock = clock

    async def _round(self) -> None:
        await self.catch_up()

    async def catch_up(self) -> int:
        """Reconcile those of the last seven days that were not, the oldest first, and say how many that were.

        No day waits for one that fails. Raises StoreUnavailable, in the end, with what failed.
        """
        made, today = 0, (self._clock() - _SETTLED_AFTER).date()
        failures: dict[str, list[date]] = {}
        for back in range(_DAYS_BACK, 0, -1):
            if self._stopping.is_set():
                break
            day = today - timedelta(days=back)
            try:
                made += await self._reconciler.settle(day)
            except StoreError as error:
                failures.setdefault(f"{type(error).__name__}: {error}", []).append(day)
        self._handled += made
        if failures:
            told = "; ".join(f"{', '.join(map(str, days))}: {error}" for error, days in failures.items())
            raise StoreUnavailable(f"not reconciled: {told}")
        return made


def _final(made: Reconciliation) -> bool:
    """Whether the day was over when it was compared, and what was on its way had come."""
    over_at = datetime.combine(made.day, time(), UTC) + _DAY + _SETTLED_AFTER
    return made.made_at is not None and made.made_at >= over_at


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
                unhealed=either.payment_id is not None and _lacks(mine, its),
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


def _lacks(ours: ProviderEntry | None, theirs: ProviderEntry | None) -> bool:
    """Whether the provider can tell us something that we do not know."""
    return ours is None or (theirs is not None and ours.fee_minor != theirs.fee_minor)


def _sums(entries: Iterable[ProviderEntry]) -> tuple[Sum, ...]:
    totals: dict[str, list[int]] = {}
    for entry in entries:
        captured_refunded_fees = totals.setdefault(entry.amount.currency, [0, 0, 0])
        captured_refunded_fees[int(entry.refund)] += entry.amount.amount_minor
        captured_refunded_fees[2] += entry.fee_minor
    return tuple(Sum(currency, *totals[currency]) for currency in sorted(totals))


def _name(entry: ProviderEntry) -> _Named:
    return entry.reference, entry.refund
