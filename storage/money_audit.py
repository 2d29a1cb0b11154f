"""The part of `verify` about money: the ledger alone, the payments beside it, and both beside the bookings.

It goes through the bookings' ids and through the ledger's movements portion by portion, each in one statement and so in one
snapshot, while bookings and payments go on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.currency import decimal_text
from storage.audit_figure import EXAMPLES_MAX, Figure
from storage.audit_portions import look_in_portions
from storage.postgres import Database

_LATE: Final = timedelta(minutes=2)
"""Money follows its booking within seconds, or with the sweeper's next full round, one a minute. After that nobody looks."""

_MOVEMENTS_AT_ONCE: Final = 100_000


@dataclass(frozen=True, slots=True)
class CurrencySums:
    """All money of one currency, in minor units: what the payments say, and beside it the balances of the ledger's accounts.

    Of what came (`captured`), `refunded` is back, `refunding` on its way back, `kept` the houses', and the rest is held for bookings
    to come. They are read bit by bit: where payments go on meanwhile, the two sides are of slightly different moments.
    """

    currency: str
    captured: int = 0
    refunded: int = 0
    refunding: int = 0
    kept: int = 0
    fees: int = 0
    guest_account: int = 0
    vendor_account: int = 0
    provider_account: int = 0
    fees_account: int = 0

    @property
    def held(self) -> int:
        """What is neither back, nor on its way back, nor the houses'."""
        return self.captured - self.refunded - self.refunding - self.kept

    @property
    def rest(self) -> int:
        """What the accounts sum to: zero, or the ledger is wrong."""
        return self.guest_account + self.vendor_account + self.provider_account + self.fees_account


@dataclass(slots=True)
class MoneyFound:
    """What was seen so far."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sums: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name.endswith("_examples"):
                self.examples[name] += (value or [])[: EXAMPLES_MAX - len(self.examples[name])]
            else:
                self.counts[name] += value

    def add_sums(self, rows: Iterable[Mapping[str, Any]], suffix: str = "") -> None:
        for row in rows:
            self.sums[row["currency"]].update({f"{name}{suffix}": row[name] for name in row if name != "currency"})


class MoneyAudit:
    """Reads only. May raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found = MoneyFound()

    async def look_at_range(self, first: UUID, last: UUID) -> None:
        """Compare the payments of these bookings. Whatever it raises, nothing of them was added."""
        found = await self._row("audit_money", first, last, _LATE)
        sums = await self._database.rows("audit_money_sums", first, last)
        self._found.add(found)
        self._found.add_sums(map(dict, sums))

    async def look_at_ledger(self) -> None:
        """Every movement that there is now, and what waits."""
        totals = await self._row("audit_money_totals")
        end = totals.pop("last_movement_id") + 1
        await look_in_portions(1, end, _MOVEMENTS_AT_ONCE, self._look_at_movements)
        self._found.add(totals)

    async def _look_at_movements(self, first: int, end: int) -> None:
        found = await self._row("audit_ledger", first, end - 1)
        sums = await self._database.rows("audit_ledger_sums", first, end - 1)
        self._found.add(found)
        self._found.add_sums(map(dict, sums), "_account")

    def sums(self) -> tuple[CurrencySums, ...]:
        """By currency."""
        names = {one.name for one in fields(CurrencySums)} - {"currency"}
        return tuple(
            CurrencySums(currency, **{name: amounts[name] for name in names})
            for currency, amounts in sorted(self._found.sums.items())
        )

    def figures(self) -> tuple[Figure, ...]:
        sums = self.sums()
        unbalanced = tuple(f"{one.currency} {decimal_text(one.rest, one.currency)}" for one in sums if one.rest)
        return (
            self._judged("movements have two sides of one amount", "movements", "odd"),
            Figure("the ledger sums to zero in each currency", len(sums), len(unbalanced), examples=unbalanced),
            self._judged("payments equal their ledger entries", "payments", "booked_otherwise"),
            self._judged("settled: captured minus refunded is kept", "settled", "not_kept"),
            self._judged("CONFIRMED with a deposit have their money", "confirmed", "unpaid"),
            self._judged("no money is without its booking", "unsettled", "homeless"),
            self._judged("payments fit bookings, refunds fit captures", "payments", "unfit"),
            self._judged("money of archived bookings is settled", "departed", "left_open"),
            self._judged("refunds under way have somebody who looks", "going_back", "left_alone"),
            self._counted("money on its way to where it belongs", "on_its_way"),
            self._counted("payments stuck", "stuck"),
            self._counted("messages of providers that wait", "messages"),
        )

    async def _row(self, name: str, *parameters: object) -> dict[str, Any]:
        row: asyncpg.Record | None = await self._database.row(name, *parameters)
        if row is None:
            raise LookupError(f"{name} gave no row")
        return dict(row)

    def _judged(self, name: str, counted: str, faults: str) -> Figure:
        counts = self._found.counts
        return Figure(name, counts[counted], counts[faults], examples=tuple(self._found.examples[f"{faults}_examples"]))

    def _counted(self, name: str, counted: str) -> Figure:
        return Figure(name, self._found.counts[counted], judged=False)
