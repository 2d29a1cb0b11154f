"""Consumers of a whole Holdfast: killed, stopped and poisoned, and every event has its effect once."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from holdfast.own_processes import identify
from holdfast.store_urls import postgres_url
from storage.consumer_states import ConsumerRow, ConsumerStates
from storage.event_log import Message, Topic
from storage.postgres import Database
from storage.postgres_event_log import PostgresEventWriter
from tests.system.guests_and_houses import Account, book, dinner, guest, restaurant
from tests.system.running import Running, wait_for

pytestmark = pytest.mark.cluster

BOOKINGS = 50


def consumer(cluster: Running, name: str) -> ConsumerRow:
    async def ask() -> ConsumerRow:
        database = Database(postgres_url(cluster.settings), "test", 1)
        try:
            return next(row for row in await ConsumerStates(database).all() if row.name == name)
        finally:
            await database.close()

    return asyncio.run(ask())


def rows(cluster: Running, query: str, *parameters: Any) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(postgres_url(cluster.settings))
        try:
            return [tuple(row) for row in await connection.fetch(query, *parameters)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def letters(cluster: Running) -> set[str]:
    return {path.name for path in (cluster.settings.data_dir / "mail").glob("*.eml")}


def bookings(cluster: Running, number: int) -> tuple[Account, list[str]]:
    """So many CONFIRMED bookings of one guest."""
    with cluster.client() as client:
        ada, chez = guest(client), restaurant(client, tables=number)
    made = [book(cluster.express, chez, ada, dinner()).json() for _ in range(number)]
    assert {booking["status"] for booking in made} == {"CONFIRMED"}
    return ada, [booking["booking_id"] for booking in made]


@contextmanager
def held_up(cluster: Running, name: str) -> Iterator[int]:
    """The consumer's process, stopped while something is made for it to do. Not for long: else it counts as hung."""
    pid = wait_for(lambda: consumer(cluster, name).state == "reading" and consumer(cluster, name).pid, name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def promptly(true: Callable[[], bool], what: str) -> None:
    """As `wait_for`, for what is over within milliseconds."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.001)


def back_and_done(cluster: Running, name: str, killed: int) -> None:
    wait_for(
        lambda: (now := consumer(cluster, name)).pid != killed and (now.state, now.lag) == ("reading", 0),
        f"another process of {name} to have read everything",
        seconds_max=60,
    )


def test_kill_9_of_the_notifier_in_mid_batch_tells_every_guest_once(cluster: Running) -> None:
    before = letters(cluster)
    with held_up(cluster, "notifier") as pid:
        _, made = bookings(cluster, BOOKINGS)
    promptly(lambda: len(letters(cluster)) > len(before), "the first letter")
    os.kill(pid, signal.SIGKILL)
    assert len(letters(cluster) - before) < BOOKINGS, "it was killed too late to prove anything"
    back_and_done(cluster, "notifier", pid)
    told = letters(cluster) - before
    assert len(told) == BOOKINGS
    assert {name.partition(".")[0] for name in told} == set(made)
    noted = rows(
        cluster,
        "SELECT state, count(*) FROM notification WHERE booking_id = ANY($1::uuid[]) GROUP BY state",
        [UUID(one) for one in made],
    )
    assert noted == [("sent", BOOKINGS)]
    assert consumer(cluster, "notifier").parked == 0


def test_kill_9_of_the_archiver_archives_every_booking_once(cluster: Running) -> None:
    ada, made = bookings(cluster, BOOKINGS)
    with held_up(cluster, "archiver") as pid:
        for one in made:
            answer = httpx.put(
                f"{cluster.express}/booking/{one}/status",
                headers=ada.headers,
                json={"status": "CANCELLED"},
                timeout=30,
                trust_env=False,
            )
            assert answer.status_code == 200, answer.text
    os.kill(pid, signal.SIGKILL)
    back_and_done(cluster, "archiver", pid)
    archived = rows(
        cluster,
        "SELECT booking_id, status FROM archived_booking WHERE booking_id = ANY($1::uuid[])",
        [UUID(one) for one in made],
    )
    assert sorted(archived) == sorted((UUID(one), "CANCELLED") for one in made)


def test_kill_9_of_the_relay_publishes_every_event_in_the_end(cluster: Running) -> None:
    with held_up(cluster, "relay") as pid:
        _, made = bookings(cluster, BOOKINGS)
    os.kill(pid, signal.SIGKILL)
    back_and_done(cluster, "relay", pid)
    published = rows(
        cluster, "SELECT DISTINCT key FROM event_message WHERE topic = 'new_booking' AND key = ANY($1)", made
    )
    assert len(published) == BOOKINGS
    wait_for(lambda: set(made) <= {name.partition(".")[0] for name in letters(cluster)}, "the letters")


def test_a_consumer_that_hangs_is_killed_and_started_again(cluster: Running) -> None:
    pid = wait_for(lambda: consumer(cluster, "notifier").state == "reading" and consumer(cluster, "notifier").pid, "it")
    os.kill(pid, signal.SIGSTOP)
    _, made = bookings(cluster, 3)
    wait_for(lambda: identify(pid) is None, "the hung process to be killed", seconds_max=60)
    back_and_done(cluster, "notifier", pid)
    assert set(made) <= {name.partition(".")[0] for name in letters(cluster)}


def test_a_poison_message_is_parked_shown_and_dropped_by_the_command(cluster: Running) -> None:
    poison = Message(Topic.NEW_BOOKING, "00a177ba-3f17-845f-814d-cf2399a8a483", b'{"schema": 1, "event_id": ""}')

    async def append() -> None:
        writer = PostgresEventWriter(postgres_url(cluster.settings))
        await writer.append([poison])
        await writer.close()

    asyncio.run(append())
    wait_for(lambda: consumer(cluster, "notifier").parked == 1, "the message to be parked")
    _, made = bookings(cluster, 1)
    wait_for(lambda: made[0] in {name.partition(".")[0] for name in letters(cluster)}, "the next letter")
    listed = cluster.command("parked", "list", "--consumer", "notifier")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "Poison" in listed.stdout
    [(number, tries)] = rows(
        cluster, "SELECT parked_id, tries FROM parked_message WHERE consumer = 'notifier' AND settled_at IS NULL"
    )
    assert cluster.command("parked", "replay", str(number)).returncode == 0
    query = "SELECT tries FROM parked_message WHERE parked_id = $1"
    wait_for(lambda: rows(cluster, query, number) == [(tries + 1,)], "the replay")
    assert cluster.command("parked", "drop", str(number)).returncode == 0
    wait_for(lambda: consumer(cluster, "notifier").parked == 0, "nothing to be parked")
    for row in rows(cluster, "SELECT parked_id FROM parked_message WHERE settled_at IS NULL"):
        assert cluster.command("parked", "drop", str(row[0])).returncode == 0


def test_status_shows_them_all_at_work(cluster: Running) -> None:
    status = cluster.command("status")
    assert status.returncode == 0, status.stdout
    for name in ("relay", "search indexer", "archiver", "departure", "notifier"):
        assert f" {name} " in status.stdout
