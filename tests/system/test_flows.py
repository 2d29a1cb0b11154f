"""The flows of the seed, (a) to (f), from one end to the other: on the embedded servers and on the real ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.consumers.smtp_server import Postbox
from tests.system.guests_and_houses import Account, book, dinner, guest, restaurant, soon
from tests.system.looking import archived, calendar_method, in_database, mail, pages
from tests.system.running import Running, wait_for

pytestmark = pytest.mark.cluster

PROMISED_SECONDS = 2.0
"""Lists and the search show a write within this time. Asked for longer, so that a slow machine is no fault."""
PATIENCE_SECONDS = 120.0


def found(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/vendors", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def name_of_its_own(kind: str) -> str:
    return f"{kind} {uuid4().hex[:10]}"


def soon_found(client: httpx.Client, vendor: Account, **query: Any) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        return next((item for item in found(client, **query) if item["vendor_id"] == vendor.account_id), None)

    item: dict[str, Any] = wait_for(look, f"the search to show {query}", seconds_max=PATIENCE_SECONDS)
    return item


def soon_true(true: Callable[[], Any], what: str) -> Any:
    return wait_for(true, what, seconds_max=PATIENCE_SECONDS)


def test_a_and_b_a_vendor_is_found_as_it_is(place: Running) -> None:
    """Onboarding and profile (a), search (b)."""
    name = name_of_its_own("Trattoria")
    with place.client() as client:
        vendor = restaurant(client, name=name, cuisines=["Ligurian"], city="Gênes")
        item = soon_found(client, vendor, q=name)
        assert (item["name"], item["city"], item["kind"]) == (name, "Gênes", "restaurant")
        typed_wrong = name.replace("Trattoria", "Tratoria")
        assert soon_found(client, vendor, q=typed_wrong, cuisine="ligurian", city="GENES")["vendor_id"]

        renamed = name_of_its_own("Osteria")
        changed = client.put(f"/vendor/{vendor.account_id}", json={"name": renamed}, headers=vendor.headers)
        assert changed.status_code == 200, changed.text
        assert client.get(f"/vendor/{vendor.account_id}").json()["name"] == renamed, "who has written sees the write"
        assert soon_found(client, vendor, q=renamed)["name"] == renamed


def test_c_a_guest_sees_the_own_profile_as_it_is(place: Running) -> None:
    with place.client() as client:
        who = guest(client)
        for name in ("Ada", "Ada Lovelace"):
            path = f"/user/{who.account_id}"
            assert client.put(path, json={"name": name}, headers=who.headers).status_code == 200
            assert client.get(path, headers=who.headers).json()["name"] == name


def test_b_and_d_only_who_can_take_the_party_is_offered(place: Running) -> None:
    """Search by time (b), and the booking (d) that takes the last table."""
    name, at = name_of_its_own("Bistro"), f"{soon().isoformat()}T19:30"
    with place.client() as client:
        vendor, who = restaurant(client, tables=1, name=name), guest(client)
        assert soon_found(client, vendor, q=name, starts_at=at, party_size=2)["available"] is True
        assert book(place.gateway, vendor, who, dinner()).status_code == 201
        assert found(client, q=name, starts_at=at, party_size=2) == []
        (full,) = found(client, q=name, starts_at=at, party_size=2, include_full="true")
        assert full["available"] is False
        assert len(full["alternatives"]) == 3
        again = book(place.express, vendor, who, dinner() | {"starts_at": full["alternatives"][0]})
        assert again.status_code == 201, "an alternative can be had"


def test_d_e_and_f_a_booking_from_the_hold_to_the_archive(place: Running, postbox: Postbox) -> None:
    """Confirmation (d) with its notification, cancellation (e), current and past lists (f)."""
    with place.client() as client:
        vendor, who = restaurant(client, policy={"approval": "manual"}), guest(client)
        address = client.get(f"/user/{who.account_id}", headers=who.headers).json()["email"]
        held = book(place.gateway, vendor, who, dinner()).json()
        assert held["status"] == "BLOCKED"
        booking_id = held["booking_id"]
        status = f"/booking/{booking_id}/status"
        assert mail(place, postbox, address) == []
        confirmed = client.put(status, json={"status": "CONFIRMED"}, headers=vendor.headers)
        assert confirmed.json()["status"] == "CONFIRMED", confirmed.text
        assert client.get(f"/booking/{booking_id}", headers=who.headers).json()["status"] == "CONFIRMED"
        (invitation,) = soon_true(lambda: mail(place, postbox, address), "the invitation")
        assert "is confirmed" in invitation["Subject"]
        assert calendar_method(invitation) == "REQUEST"

        lists = [(f"/bookings/user/{who.account_id}", who), (f"/bookings/vendor/{vendor.account_id}", vendor)]
        for path, reader in lists:
            assert [item["booking_id"] for item in pages(client, path, reader)] == [booking_id]
        cancelled = client.put(status, json={"status": "CANCELLED"}, headers=who.headers)
        assert cancelled.json()["status"] == "CANCELLED", cancelled.text
        for path, reader in lists:
            assert list(pages(client, path, reader)) == [], "who has written sees the write"
        for path, reader in lists:
            soon_true(lambda p=path, r=reader: [*pages(client, p, r, when="past")], "the past list")
        version = cancelled.json()["version"]
        soon_true(lambda: archived(place, [booking_id]) == {booking_id: version}, "the archive")
        withdrawal = soon_true(lambda: mail(place, postbox, address)[1:], "the withdrawal")
        assert calendar_method(withdrawal[0]) == "CANCEL"

        grow_old(place, booking_id)
        wait_for(lambda: not stands(place, booking_id), "the booking to leave the current tables", seconds_max=120)
        for path, reader in lists:
            past = list(pages(client, path, reader, when="past"))
            assert [(item["booking_id"], item["status"]) for item in past] == [(booking_id, "CANCELLED")]
            assert list(pages(client, path, reader, when="all")) == past
        for base in (place.gateway, place.express):
            shown = httpx.get(f"{base}/booking/{booking_id}", headers=who.headers, trust_env=False)
            assert shown.json()["status"] == "CANCELLED"
        too_late = client.put(status, json={"status": "CONFIRMED"}, headers=vendor.headers)
        assert (too_late.status_code, too_late.json()["code"]) == (409, "illegal_transition")


def test_the_audit_is_clean_and_nothing_waits(place: Running) -> None:
    waiting = "SELECT count(*) AS rows FROM outbox WHERE published_at IS NULL"
    soon_true(lambda: in_database(place, waiting)[0]["rows"] == 0, "the outbox to be empty")
    verified = place.command("verify")
    assert verified.returncode == 0, verified.stdout
    parked = place.command("parked", "list")
    assert "Nothing is parked." in parked.stdout


def grow_old(place: Running, booking_id: str) -> None:
    """As if it had been cancelled three days ago."""
    long_ago = datetime.now(UTC) - timedelta(days=3)
    in_database(place, "UPDATE booking SET updated_at = $2 WHERE booking_id = $1", booking_id, long_ago)


def stands(place: Running, booking_id: str) -> bool:
    return bool(in_database(place, "SELECT FROM booking WHERE booking_id = $1", booking_id))
