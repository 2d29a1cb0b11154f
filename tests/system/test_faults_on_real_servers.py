"""Each real server away and back again while guests go on booking: what still works, what says so, and what catches up.

The servers are really stopped and started. HOLDFAST_ENDED_BOOKINGS says how many bookings the last test ends (600);
`make soak` ends 10,000.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from tests.consumers.smtp_server import Postbox
from tests.stack import RealServers
from tests.system.guests_and_houses import Account, book, dinner, guest, hotel, restaurant, soon
from tests.system.looking import archived, in_database, mail, pages
from tests.system.running import Running, wait_for

pytestmark = pytest.mark.cluster

ENDED_BOOKINGS: Final = int(os.environ.get("HOLDFAST_ENDED_BOOKINGS", "600"))
BULK_MAX: Final = 500
CATCH_UP_SECONDS: Final = 120.0 + ENDED_BOOKINGS / 20


@contextmanager
def away(servers: RealServers, name: str) -> Iterator[None]:
    """The server is stopped, and started again afterwards."""
    servers.stop(name)
    try:
        yield
    finally:
        servers.start(name)


def booked(client: httpx.Client, house: Account, who: Account, number: int) -> list[str]:
    """That many rooms, each a booking of its own, by as few requests as it takes."""
    made: list[str] = []
    for start in range(0, number, BULK_MAX):
        items = [stay(house, start + place) for place in range(min(BULK_MAX, number - start))]
        answer = client.post("/booking/bulk", json={"bookings": items}, headers=who.headers)
        assert answer.status_code == 207, answer.text
        statuses = {item["status"] for item in answer.json()["items"]}
        assert statuses == {201}, answer.text[:1000]
        made += [item["booking"]["booking_id"] for item in answer.json()["items"]]
    return made


def stay(house: Account, number: int) -> dict[str, Any]:
    """Spread over 20 first nights, so that lists have an order and equals in it."""
    first = soon() + timedelta(days=number % 20)
    last = first + timedelta(days=1)
    return {"vendor_id": house.account_id, "party_size": 1, "check_in": str(first), "check_out": str(last)}


def set_status(cluster: Running, booking_ids: list[str], status: str, who: Account) -> None:
    """By many requests at a time."""

    async def run() -> None:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=cluster.express, trust_env=False, timeout=60, limits=limits) as client:
            places = asyncio.Semaphore(16)

            async def change(booking_id: str) -> None:
                async with places:
                    path = f"/booking/{booking_id}/status"
                    answer = await client.put(path, json={"status": status}, headers=who.headers)
                assert answer.status_code == 200, answer.text

            await asyncio.gather(*map(change, booking_ids))

    asyncio.run(run())


def email_of(client: httpx.Client, who: Account) -> str:
    address: str = client.get(f"/user/{who.account_id}", headers=who.headers).json()["email"]
    return address


def test_kafka_away_during_1000_bookings_loses_none(
    full_cluster: Running, own_stack: RealServers, postbox: Postbox
) -> None:
    with full_cluster.client() as client:
        house, who = hotel(client, rooms=100), guest(client)
        with away(own_stack, "kafka"):
            made = booked(client, house, who, 1000)
        wanted = {f"<{booking_id}.1.new_booking@holdfast>" for booking_id in made}
        address = email_of(client, who)

        def told() -> set[str]:
            return {message["Message-ID"] for message in mail(full_cluster, postbox, address)}

        wait_for(lambda: told() >= wanted, "every booking to be told of", seconds_max=CATCH_UP_SECONDS)
        letters = [message["Message-ID"] for message in mail(full_cluster, postbox, address)]
        assert sorted(letters) == sorted(wanted), "each once"


def test_without_elasticsearch_the_search_says_so_and_booking_goes_on(
    full_cluster: Running, own_stack: RealServers
) -> None:
    with full_cluster.client() as client:
        vendor, who = restaurant(client, name="Away And Back"), guest(client)
        with away(own_stack, "elasticsearch"):
            answer = client.get("/vendors", params={"q": "anything"})
            assert (answer.status_code, answer.json()["code"]) == (503, "dependency_unavailable")
            assert answer.json()["transient"] is True
            assert int(answer.headers["retry-after"]) >= 1
            assert book(full_cluster.gateway, vendor, who, dinner()).status_code == 201

        def shown() -> bool:
            found = client.get("/vendors", params={"q": "Away And Back"})
            return found.status_code == 200 and vendor.account_id in {i["vendor_id"] for i in found.json()["items"]}

        wait_for(shown, "the search to be back", seconds_max=CATCH_UP_SECONDS)


def test_without_cassandra_lists_say_what_is_missing_and_the_archive_catches_up(
    full_cluster: Running, own_stack: RealServers
) -> None:
    with full_cluster.client() as client:
        house, who = hotel(client, rooms=20), guest(client)
        made = booked(client, house, who, 20)
        path = f"/bookings/user/{who.account_id}"
        with away(own_stack, "cassandra"):
            set_status(full_cluster, made[:10], "CANCELLED", who)
            answer = client.get(path, params={"when": "all"}, headers=who.headers).json()
            assert answer["past_missing"] is True
            assert {item["booking_id"] for item in answer["items"]} == set(made), "what is current is all there"
            current = client.get(path, headers=who.headers).json()
            assert (current["past_missing"], len(current["items"])) == (False, 10)
        wait_for(lambda: len(archived(full_cluster, made)) == 10, "the archive", seconds_max=CATCH_UP_SECONDS)
        answer = client.get(path, params={"when": "all"}, headers=who.headers).json()
        assert answer["past_missing"] is False
        assert {item["booking_id"] for item in answer["items"]} == set(made)


def test_without_redis_everything_works(full_cluster: Running, own_stack: RealServers) -> None:
    with full_cluster.client() as client:
        with away(own_stack, "valkey"):
            vendor, who = restaurant(client, name="Cacheless"), guest(client)
            made = book(full_cluster.gateway, vendor, who, dinner())
            assert made.status_code == 201
            booking = f"/booking/{made.json()['booking_id']}"
            assert client.get(booking, headers=who.headers).json()["status"] == "CONFIRMED"
            assert client.get(f"/vendor/{vendor.account_id}").status_code == 200
            assert [*pages(client, f"/bookings/user/{who.account_id}", who)]
            wait_for(
                lambda: client.get("/vendors", params={"q": "Cacheless"}).json()["items"],
                "the search to work without its cache",
            )
            cancelled = client.put(f"{booking}/status", json={"status": "CANCELLED"}, headers=who.headers)
            assert cancelled.status_code == 200
        assert client.get(booking, headers=who.headers).json()["status"] == "CANCELLED"
        assert [*pages(client, f"/bookings/user/{who.account_id}", who)] == []


def test_a_replica_that_is_killed_is_left_out(full_cluster: Running, own_stack: RealServers) -> None:
    with full_cluster.client() as client:
        vendor, who = restaurant(client), guest(client)
        path = f"/bookings/vendor/{vendor.account_id}"
        assert book(full_cluster.gateway, vendor, who, dinner()).status_code == 201
        own_stack.kill("postgres_replica")
        try:
            for _ in range(20):
                assert len([*pages(client, path, vendor)]) == 1
        finally:
            own_stack.start("postgres_replica")
        assert len([*pages(client, path, vendor)]) == 1


def test_archive_and_current_lists_agree_with_the_database(full_cluster: Running) -> None:
    """Every guest's lists, page by page, while bookings are on their way to the archive and afterwards."""
    with full_cluster.client() as client:
        guests = [guest(client) for _ in range(6)]
        each = ENDED_BOOKINGS // 5
        house = hotel(client, rooms=len(guests) * each // 20 + 1)
        made = {who: booked(client, house, who, each) for who in guests}
        for who in guests[:5]:
            set_status(full_cluster, made[who], "CANCELLED", who)
        for who in guests:
            assert_lists_agree(full_cluster, client, who)
        ended = [booking_id for who in guests[:5] for booking_id in made[who]]
        wait_for(lambda: len(archived(full_cluster, ended)) == len(ended), "the archive", seconds_max=CATCH_UP_SECONDS)
        for who in guests:
            assert_lists_agree(full_cluster, client, who)
    verified = full_cluster.command("verify")
    assert verified.returncode == 0, verified.stdout


def assert_lists_agree(cluster: Running, client: httpx.Client, who: Account) -> None:
    rows = in_database(
        cluster,
        "SELECT booking_id, status, version FROM booking WHERE user_id = $1 ORDER BY starts_at DESC, booking_id DESC",
        who.account_id,
    )
    wanted = [(str(row["booking_id"]), row["status"], row["version"]) for row in rows]
    path = f"/bookings/user/{who.account_id}"

    def seen(when: str) -> list[tuple[str, str, int]]:
        items = pages(client, path, who, when=when, limit=97)
        return [(item["booking_id"], item["status"], item["version"]) for item in items]

    assert seen("all") == wanted
    assert seen("past") == [row for row in wanted if row[1] == "CANCELLED"]
    assert seen("current") == [row for row in wanted if row[1] == "CONFIRMED"]
