"""After a round: nothing sold twice, nothing acknowledged lost, by the database alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from storage.audit import OUTBOX, Audit
from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class Proof:
    """`faults` are sentences, empty where all is well; `bookings` is how many the database holds."""

    stack: str
    bookings: int
    acknowledged: int
    faults: tuple[str, ...]


async def prove(stack: str, dsn: str, acknowledged: Sequence[str]) -> Proof:
    """Audit a database and look every acknowledged booking up."""
    database = Database(dsn, "bench audit", connections_max=2)
    try:
        report = await Audit(database).run()
    finally:
        await database.close()
    # Two of the three stacks run no relay, so what waits in their outbox waits for ever.
    judged = [figure for figure in report.figures if figure.judged and figure.name != OUTBOX]
    faults = [f"{figure.name}: {figure.faults}" for figure in judged if figure.faults]
    connection = await asyncpg.connect(dsn)
    try:
        bookings = await connection.fetchval("SELECT count(*) FROM booking")
        missing = await connection.fetchval(
            "SELECT count(*) FROM unnest($1::uuid[]) AS told (booking_id)"
            " WHERE NOT EXISTS (SELECT FROM booking WHERE booking.booking_id = told.booking_id)",
            acknowledged,
        )
    finally:
        await connection.close()
    if missing:
        faults.append(f"acknowledged bookings are missing: {missing}")
    if len(set(acknowledged)) != len(acknowledged):
        faults.append("one booking was acknowledged to two requests")
    return Proof(stack, bookings, len(acknowledged), tuple(faults))
