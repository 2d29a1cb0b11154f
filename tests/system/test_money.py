"""An evening of deposits through the sandbox, with lost, doubled and late messages, and with processes killed in it.

HOLDFAST_PAYMENT_BOOKINGS says how many bookings (200); `make soak` plays 5,000.
"""

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from holdfast.own_processes import identify
from tests.system.guests_and_houses import Account, book, dinner, guest, restaurant
from tests.system.paying_guests import DEPOSIT_MINOR, HOLD_SECONDS, Evening, PayingGuests
from tests.system.running import Running, wait_for
from tests.system.test_consumers import consumer, rows

_log = logging.getLogger(__name__)
pytestmark = pytest.mark.cluster

BOOKINGS = int(os.environ.get("HOLDFAST_PAYMENT_BOOKINGS", "200"))
SEED = int(os.environ.get("HOLDFAST_PAYMENT_SEED", "1"))
FORGED = 1000

_WRITTEN = "SELECT (SELECT count(*) FROM webhook_inbox), (SELECT count(*) FROM payment_capture), (SELECT count(*) FROM ledger_entry)"

_OPEN = """
    SELECT count(*) FROM payment JOIN booking USING (booking_id)
    WHERE booking.booking_id = ANY($1::uuid[])
      AND (booking.status = 'BLOCKED' OR payment.look_at < now() + interval '1 hour')
"""

_BOOKS = """
    SELECT payment.currency, count(*),
           sum(captured.total), sum(captured.fee), sum(given.back), sum(payment.kept_minor),
           sum(captured.total - given.back - payment.kept_minor)
    FROM payment
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS total, coalesce(sum(fee_minor), 0) AS fee FROM payment_capture AS capture
        WHERE capture.payment_id = payment.payment_id
    ) AS captured
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS back FROM payment_refund AS refund
        WHERE refund.payment_id = payment.payment_id AND refund.state = 'done'
    ) AS given
    WHERE payment.booking_id = ANY($1::uuid[])
    GROUP BY payment.currency ORDER BY payment.currency
"""

_THEIRS = """
    SELECT charge.currency, sum(captured.total), sum(captured.refunded)
    FROM sandbox_charge AS charge
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS total, coalesce(sum(refunded_minor), 0) AS refunded
        FROM sandbox_capture AS capture
        WHERE capture.payment_id = charge.payment_id AND capture.charge_number = charge.charge_number
    ) AS captured
    WHERE charge.booking_id = ANY($1::uuid[])
    GROUP BY charge.currency ORDER BY charge.currency
"""

_STATUSES = """
    SELECT booking_id::text, status, (SELECT coalesce(sum(c.amount_minor), 0) FROM payment_capture AS c
        JOIN payment AS p USING (payment_id) WHERE p.booking_id = booking.booking_id)
        - (SELECT coalesce(sum(r.amount_minor), 0) FROM payment_refund AS r
        JOIN payment AS p USING (payment_id) WHERE p.booking_id = booking.booking_id) AS net
    FROM booking WHERE booking_id = ANY($1::uuid[])
"""


def played(cluster: Running, bookings: int, *, meanwhile: Callable[[], None] | None = None) -> Evening:
    """The evening, with something done to the product once a third of it is booked; then wait until no money is open."""
    guests = PayingGuests(cluster, bookings, SEED)

    async def play() -> Evening:
        playing = asyncio.ensure_future(guests.play())
        if meanwhile is not None:
            await asyncio.wait([playing, asyncio.ensure_future(guests.a_third.wait())], return_when="FIRST_COMPLETED")
            await asyncio.to_thread(meanwhile)
        return await playing

    evening = asyncio.run(play())
    ids = list(evening.bookings)
    assert len(ids) == bookings
    wait_for(
        lambda: rows(cluster, _OPEN, ids) == [(0,)], "every payment to come to rest", seconds_max=HOLD_SECONDS + 120
    )
    return evening


def every_cent_is_accounted_for(cluster: Running, evening: Evening) -> None:
    ids = list(evening.bookings)
    ours, theirs = rows(cluster, _BOOKS, ids), rows(cluster, _THEIRS, ids)
    show(evening, ours, theirs)
    assert [(line[0], line[2], line[4]) for line in ours] == [tuple(line) for line in theirs]
    ended: Counter[tuple[str, str]] = Counter()
    for booking_id, status, net in rows(cluster, _STATUSES, ids):
        way = evening.bookings[booking_id]
        ended[way.name, status] += 1
        stays = status == "CONFIRMED" or (status == "AVAILED" and way.name == "pays, came, bill above")
        assert net == (2 * DEPOSIT_MINOR if stays else 0), (booking_id, way, status, net)
    _log.info("how they ended: %s", sorted(ended.items()))
    verified = cluster.command("verify")
    assert verified.returncode == 0, verified.stdout
    _log.info("%s", verified.stdout)


def show(evening: Evening, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    table = Table("currency", "payments", "captured", "fees", "given back", "kept", "held", "provider has", box=SIMPLE)
    for mine, its in zip(ours, theirs, strict=True):
        table.add_row(mine[0], *(f"{int(cell):,}" for cell in mine[1:]), f"{int(its[1] - its[2]):,}")
    console = Console(width=120)
    console.print(
        f"\n{len(evening.bookings):,} bookings with a deposit, {evening.unanswered} requests sent again for want of an answer"
    )
    console.print(f"answers: {dict(evening.statuses)}")
    console.print(table)


def service_pid(cluster: Running, service: str) -> int:
    """The process of the service's only replica."""
    for process in cluster.processes():
        with suppress(FileNotFoundError, ProcessLookupError):
            line = Path(f"/proc/{process.pid}/cmdline").read_text("utf-8")
            if line.startswith(f"ray::ServeReplica:{service}:"):
                return process.pid
    raise AssertionError(f"no replica of {service}")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: identify(pid) is None, f"process {pid} to be gone")


def test_an_evening_with_lost_doubled_and_late_messages(cluster: Running) -> None:
    every_cent_is_accounted_for(cluster, played(cluster, BOOKINGS))


def test_kill_9_of_the_payment_actor_and_the_payment_service(cluster: Running) -> None:
    def meanwhile() -> None:
        before = consumer(cluster, "payments").pid
        kill(before)
        kill(service_pid(cluster, "payment"))
        wait_for(lambda: consumer(cluster, "payments").pid != before, "another payment actor", seconds_max=60)
        kill(consumer(cluster, "payments").pid)

    every_cent_is_accounted_for(cluster, played(cluster, BOOKINGS, meanwhile=meanwhile))


def forged(number: int) -> tuple[dict[str, str], bytes]:
    body = b'{"id":"evt_%d","type":"captured","payment_id":"6f1cf25c-74ab-5a4b-9d26-1e4bb1f0a5d1"}' % number
    kinds: list[dict[str, str]] = [
        {},
        {"holdfast-sandbox-signature": "t=1,v1=00"},
        {"holdfast-sandbox-signature": f"t={number},v1={'ab' * 32}"},
        {"holdfast-sandbox-signature": "nonsense"},
    ]
    return kinds[number % len(kinds)], body[: len(body) - number % 5]


def test_1000_forged_messages_write_nothing_and_do_not_stop_booking(cluster: Running) -> None:
    with cluster.client() as client:
        ada, chez = guest(client), restaurant(client, tables=60)
    before = rows(cluster, _WRITTEN)

    async def flood() -> Counter[int]:
        answers: Counter[int] = Counter()
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=cluster.gateway, trust_env=False, timeout=30, limits=limits) as client:

            async def one(number: int) -> None:
                headers, body = forged(number)
                answer = await client.post("/payment/webhook/sandbox", headers=headers, content=body)
                assert answer.json()["code"] == "bad_signature"
                answers[answer.status_code] += 1

            async with asyncio.TaskGroup() as group:
                for number in range(FORGED):
                    group.create_task(one(number))
                group.create_task(asyncio.to_thread(booked, cluster, chez, ada))
        return answers

    assert asyncio.run(flood()) == {400: FORGED}
    assert rows(cluster, _WRITTEN) == before


def booked(cluster: Running, vendor: Account, who: Account) -> None:
    for _ in range(50):
        assert book(cluster.express, vendor, who, dinner()).status_code == 201
