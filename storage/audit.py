"""`verify`: proves from the database alone that nothing was sold twice, that the guard's words tell the truth, and that no cent is lost.

It goes through the ids bucket by bucket, each time in one statement and so in one snapshot, while bookings go on.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from domain.ids import BUCKETS
from storage.audit_figure import EXAMPLES_MAX, Figure
from storage.money_audit import CurrencySums, MoneyAudit
from storage.postgres import Database

OUTBOX: Final = "no outbox row is stuck"
"""The one figure that also tells of the relay, and not of bookings alone."""

_IDS_PER_BUCKET: Final = 1 << 116
_STUCK_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`money` is for information: what all that came became of, currency by currency."""

    figures: tuple[Figure, ...]
    money: tuple[CurrencySums, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(figure.judged and figure.faults for figure in self.figures)


class Audit:
    """Reads only. May raise StoreUnavailable."""

    def __init__(self, database: Database, *, buckets_at_once: int = 16) -> None:
        self._database = database
        self._buckets_at_once = buckets_at_once

    async def run(self, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Look at everything. `progress` is told how many of how many buckets are done."""
        money = MoneyAudit(self._database)
        sums: Counter[str] = Counter()
        word_examples: list[str] = []
        slot_examples: list[str] = []
        for first in range(0, BUCKETS, self._buckets_at_once):
            end = min(first + self._buckets_at_once, BUCKETS)
            ids = UUID(int=first * _IDS_PER_BUCKET), UUID(int=end * _IDS_PER_BUCKET - 1)
            row = await self._database.row("audit_range", *ids)
            if row is None:
                raise LookupError("the audit's query gave no row")
            found = dict(row)
            word_examples += found.pop("word_examples")
            slot_examples += found.pop("slot_examples")
            sums.update(found)
            await money.look_at_range(*ids)
            if progress is not None:
                progress(end, BUCKETS)
        await money.look_at_ledger()
        totals = await self._database.row("audit_totals", _STUCK_AFTER)
        if totals is None:
            raise LookupError("the audit's totals gave no row")
        return AuditReport(
            (
                Figure("vendors", totals["vendors"], judged=False),
                Figure("bookings hold what their status says", sums["bookings"], sums["bookings_odd"]),
                Figure("bookings have a vendor", sums["bookings"], sums["homeless"]),
                Figure("booked seats are seats of their vendor", sums["booked_seats"], sums["seats_unknown"]),
                Figure(
                    "seat-slots are held by one booking only",
                    sums["slots"],
                    sums["sold_twice"],
                    examples=tuple(slot_examples[:EXAMPLES_MAX]),
                ),
                Figure(
                    "taken words equal the slots that bookings hold",
                    sums["words"],
                    sums["words_differ"],
                    examples=tuple(word_examples[:EXAMPLES_MAX]),
                ),
                *money.figures(),
                Figure("remembered answers", totals["answers"], judged=False),
                Figure(
                    OUTBOX,
                    totals["outbox_rows"],
                    totals["outbox_stuck"],
                    examples=tuple(totals["outbox_examples"]),
                ),
                Figure("parked messages", totals["parked"], judged=False),
            ),
            money.sums(),
        )
