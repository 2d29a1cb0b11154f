"""`verify`: proves from the database alone that nothing was sold twice, that the guard's words tell the truth, and that no cent is lost.

It goes through the ids some buckets at a time, each portion in one statement and so in one snapshot, while bookings go on. It
has a connection of its own, whose statements may take a minute: what serves guests neither waits for it nor limits it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from domain.ids import BUCKETS
from storage.audit_figure import EXAMPLES_MAX, Figure
from storage.audit_portions import look_in_portions
from storage.money_audit import CurrencySums, MoneyAudit
from storage.postgres import Database

OUTBOX: Final = "no outbox row is stuck"
"""The one figure that also tells of the relay, and not of bookings alone."""

_IDS_PER_BUCKET: Final = 1 << 116
_STUCK_AFTER: Final = timedelta(minutes=10)
_STATEMENT_SECONDS_MAX: Final = 60
_COUNTED_MAX: Final = 100_000
"""Rows of the outbox and remembered answers are counted up to so many: at scale there are 86 million of these."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`money` is for information: what all that came became of, currency by currency."""

    figures: tuple[Figure, ...]
    money: tuple[CurrencySums, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(figure.judged and figure.faults for figure in self.figures)


@dataclass(slots=True)
class _Found:
    """What was seen of the bookings and the words so far."""

    counts: Counter[str] = field(default_factory=Counter)
    word_examples: list[str] = field(default_factory=list)
    slot_examples: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self.word_examples += row.pop("word_examples")
        self.slot_examples += row.pop("slot_examples")
        self.counts.update(row)


class Audit:
    """Reads only. May raise StoreUnavailable.

    A portion that takes longer than `statement_seconds_max` is halved, down to a single bucket.
    """

    def __init__(
        self, database: Database, *, buckets_at_once: int = 16, statement_seconds_max: float = _STATEMENT_SECONDS_MAX
    ) -> None:
        self._database = database
        self._buckets_at_once = buckets_at_once
        self._statement_seconds_max = statement_seconds_max

    async def run(self, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Look at everything. `progress` is told how many of how many buckets are done."""
        database = self._database.for_long_statements(self._statement_seconds_max)
        try:
            return await self._look(database, progress)
        finally:
            await database.close()

    async def _look(self, database: Database, progress: Callable[[int, int], None] | None) -> AuditReport:
        money, found = MoneyAudit(database), _Found()

        async def look_at_buckets(first: int, end: int) -> None:
            ids = UUID(int=first * _IDS_PER_BUCKET), UUID(int=end * _IDS_PER_BUCKET - 1)
            row = await _row(database, "audit_range", *ids)
            await money.look_at_range(*ids)
            found.add(row)
            if progress is not None:
                progress(end, BUCKETS)

        await look_in_portions(0, BUCKETS, self._buckets_at_once, look_at_buckets)
        await money.look_at_ledger()
        totals = await _row(database, "audit_totals", _STUCK_AFTER, _COUNTED_MAX)
        return AuditReport(_figures(found, money, totals), money.sums())


async def _row(database: Database, name: str, *parameters: object) -> dict[str, Any]:
    row = await database.row(name, *parameters)
    if row is None:
        raise LookupError(f"{name} gave no row")
    return dict(row)


def _figures(found: _Found, money: MoneyAudit, totals: Mapping[str, Any]) -> tuple[Figure, ...]:
    counts = found.counts
    return (
        Figure("vendors", totals["vendors"], judged=False),
        Figure("bookings hold what their status says", counts["bookings"], counts["bookings_odd"]),
        Figure("bookings have a vendor", counts["bookings"], counts["homeless"]),
        Figure("booked seats are seats of their vendor", counts["booked_seats"], counts["seats_unknown"]),
        Figure(
            "seat-slots are held by one booking only",
            counts["slots"],
            counts["sold_twice"],
            examples=tuple(found.slot_examples[:EXAMPLES_MAX]),
        ),
        Figure(
            "taken words equal the slots that bookings hold",
            counts["words"],
            counts["words_differ"],
            examples=tuple(found.word_examples[:EXAMPLES_MAX]),
        ),
        *money.figures(),
        Figure("remembered answers", totals["answers"], judged=False, about=totals["answers_about"]),
        Figure(
            OUTBOX,
            totals["outbox_rows"],
            totals["outbox_stuck"],
            examples=tuple(totals["outbox_examples"]),
            about=totals["outbox_about"],
        ),
        Figure("parked messages", totals["parked"], judged=False),
    )
