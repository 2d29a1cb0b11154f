"""Bookings that left for the archive are still there for those whose they are, and nothing changes them any more."""

from uuid import uuid4

import httpx
import pytest_asyncio

from actors.direct_client import DirectClient
from serve_app.booking import BookingDeps, booking_app
from serve_app.ended import EndedBookings
from storage.archive_url import archive_at
from storage.vendors import VendorReads
from tests.api.driving import done, refused


@pytest_asyncio.fixture(loop_scope="session")
async def house(api):
    return await api.restaurant()


@pytest_asyncio.fixture(loop_scope="session")
async def over(api, guest, house, departed):
    """A cancelled booking that only the archive has; as its guest was last answered."""
    booking = await api.booked(guest, house)
    shown = done(await api.set_status(guest, booking["booking_id"], "CANCELLED", reason="Rain"))
    await departed(shown)
    return shown


async def test_it_is_shown_to_those_whose_it_is(api, guest, house, over):
    url = f"/booking/{over['booking_id']}"
    for headers in (guest.headers, house.headers, api.operator):
        response = await api.http.get(url, headers=headers)
        assert (done(response), response.headers["etag"]) == (over, f'"{over["version"]}"')
    stranger, other = await api.user(), await api.restaurant()
    for who in (stranger, other):
        refused(await api.http.get(url, headers=who.headers), 404, "not_found")
        refused(await api.http.get(f"{url}/status", headers=who.headers), 404, "not_found")


async def test_its_status_is_shown_with_and_without_waiting(api, guest, over):
    for headers in ({}, {"Prefer": "wait=30"}):
        response = await api.http.get(f"/booking/{over['booking_id']}/status", headers={**guest.headers, **headers})
        assert (done(response)["status"], done(response)["version"]) == ("CANCELLED", over["version"])


async def test_it_cannot_be_changed_and_the_order_of_refusals_stays(api, guest, house, over):
    booking_id = over["booking_id"]
    stale = {"If-Match": f'"{over["version"] - 1}"'}
    for who, status in ((guest, "CANCELLED"), (house, "AVAILED"), (house, "NO_SHOW"), (house, "CONFIRMED")):
        refused(await api.set_status(who, booking_id, status), 409, "illegal_transition")
        refused(await api.set_status(who, booking_id, status, headers=stale), 412, "version_conflict")
        refused(
            await api.set_status(who, booking_id, status, headers={"Idempotency-Key": "k"}), 409, "illegal_transition"
        )
    refused(await api.set_status(guest, booking_id, "AVAILED"), 403, "forbidden")
    refused(await api.set_status(guest, booking_id, "EXPIRED"), 422, "invalid_request")
    refused(await api.amend(guest, booking_id, notes="Later"), 409, "illegal_transition")
    refused(await api.amend(guest, booking_id, notes="Later", headers=stale), 412, "version_conflict")
    refused(await api.amend(guest, booking_id, seat_type="sofa", headers=stale), 422, "invalid_request", "seat_type")
    refused(await api.amend(house, booking_id, notes="Later"), 403, "forbidden")


async def test_to_others_it_does_not_exist(api, over):
    stranger, other = await api.user(), await api.restaurant()
    for booking_id in (over["booking_id"], str(uuid4())):
        refused(await api.set_status(stranger, booking_id, "CANCELLED"), 404, "not_found")
        refused(await api.amend(stranger, booking_id, notes="Mine"), 404, "not_found")
        refused(await api.set_status(other, booking_id, "AVAILED"), 404, "not_found")


async def test_what_is_refused_is_refused_alike_before_and_after_it_left(api, guest, house, departed):
    booking_id = (await api.booked(guest, house))["booking_id"]
    shown = done(await api.set_status(house, booking_id, "CANCELLED"))

    async def answers():
        found = [await api.set_status(guest, booking_id, "CANCELLED"), await api.amend(guest, booking_id, party_size=1)]
        found += [await api.set_status(house, booking_id, name) for name in ("CONFIRMED", "AVAILED", "NO_SHOW")]
        return [(answer.status_code, answer.json()) for answer in found]

    before = await answers()
    await departed(shown)
    assert await answers() == before


async def test_without_its_archive_only_the_unknown_is_unavailable(api, guest, house, over, server, unused_tcp_port):
    away = archive_at("", f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none")
    current = await api.booked(guest, house)
    ended = EndedBookings(away, VendorReads(server.database), api.now)
    app = booking_app(BookingDeps(DirectClient([server.shard]), server.tokens, lambda: 1, ended))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for path in (f"/booking/{current['booking_id']}", f"/booking/{current['booking_id']}/status"):
            done(await http.get(path, headers=guest.headers))
        for path in (f"/booking/{over['booking_id']}", f"/booking/{over['booking_id']}/status"):
            refused(await http.get(path, headers=guest.headers), 503, "dependency_unavailable")
        response = await http.put(f"/booking/{over['booking_id']}", json={"notes": "x"}, headers=guest.headers)
        refused(response, 503, "dependency_unavailable")
    await away.close()
