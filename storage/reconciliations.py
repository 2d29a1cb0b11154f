"""Reconciliations: a provider's own list of a day beside what we have of it, kept with each difference by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

import asyncpg
import orjson

from domain.money import Money
from domain.payment import PaymentId
from storage.payment_provider import ProviderEntry
from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class Sum:
    """What one side says that moved in a currency, in minor units."""

    currency: str
    captured_minor: int = 0
    refunded_minor: int = 0
    fees_minor: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that only one side has, or that each has in another way; `what` says it for people.

    `reference` is the provider's. A side that has nothing under it is None. `unhealed` says that the provider is yet to be
    asked about the payment.
    """

    reference: str
    what: str
    currency: str
    ours_minor: int | None = None
    theirs_minor: int | None = None
    payment_id: PaymentId | None = None
    unhealed: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`day` is one of UTC. `made_at`, when it was compared, is None until it is stored."""

    day: date
    provider: str
    ours: tuple[Sum, ...]
    theirs: tuple[Sum, ...]
    differences: tuple[Difference, ...]
    made_at: datetime | None = None

    @property
    def unhealed(self) -> Sequence[PaymentId]:
        """The payments that the provider is yet to be asked about."""
        named = (one.payment_id for one in self.differences if one.unhealed and one.payment_id is not None)
        return list(dict.fromkeys(named))


class Reconciliations:
    """Each method is one statement that may be repeated, and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, made: Reconciliation) -> Reconciliation:
        """Instead of an earlier one of the day; as it is stored."""
        sides = (orjson.dumps(part).decode() for part in (made.ours, made.theirs, made.differences))
        made_at = await self._database.value("save_reconciliation", made.day, made.provider, *sides)
        return replace(made, made_at=made_at)

    async def healed(self, made: Reconciliation) -> None:
        """Keep which of its differences are healed by now. Without effect where another took its place."""
        differences = orjson.dumps(made.differences).decode()
        await self._database.value("reconciliation_healed", made.day, made.provider, made.made_at, differences)

    async def latest(self, provider: str | None, reconciliations_max: int) -> Sequence[Reconciliation]:
        """The newest day first; of every provider where none is named."""
        return list(
            map(_reconciliation, await self._database.rows("list_reconciliations", provider, reconciliations_max))
        )

    async def of_day(self, day: date, provider: str) -> Reconciliation | None:
        row = await self._database.row("reconciliation_of_day", day, provider)
        return None if row is None else _reconciliation(row)

    async def our_entries(self, provider: str, since: datetime, until: datetime) -> Sequence[ProviderEntry]:
        """What we say that the provider has taken and given back from `since` to before `until`, by when we learnt of it.

        A refund that the provider has not done yet is not among them. `at` is when we asked for a refund, which may be long
        before.
        """
        return list(map(_entry, await self._database.rows("our_provider_entries", provider, since, until)))

    async def our_entries_by_reference(self, provider: str, references: Sequence[str]) -> Sequence[ProviderEntry]:
        """What we have under these references of the provider, whenever we learnt of it, refunds under way included."""
        return list(map(_entry, await self._database.rows("our_provider_entries_named", provider, references)))


def _entry(row: asyncpg.Record) -> ProviderEntry:
    return ProviderEntry(
        row["reference"],
        Money(row["amount_minor"], row["currency"]),
        row["refund"],
        row["at"],
        PaymentId(UUID(int=row["payment_id"].int)),
        row["fee_minor"],
    )


def _reconciliation(row: asyncpg.Record) -> Reconciliation:
    differences = orjson.loads(row["differences"])
    for found in differences:
        if found["payment_id"] is not None:
            found["payment_id"] = PaymentId(UUID(found["payment_id"]))
    return Reconciliation(
        row["day"],
        row["provider"],
        tuple(Sum(**found) for found in orjson.loads(row["ours"])),
        tuple(Sum(**found) for found in orjson.loads(row["theirs"])),
        tuple(Difference(**found) for found in differences),
        row["made_at"],
    )
