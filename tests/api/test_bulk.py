from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
import structlog

from domain.command import Role
from domain.rejection import Reason, Rejection
from serve_app.auth import SigningKeys, Tokens
from serve_app.booking import BookingDeps, booking_app
from storage.errors import OutcomeUnknown, StoreUnavailable
from tests.api.driving import done, refused


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def tokens():
    return Tokens(SigningKeys("k", {"k": b"k" * 32}), Validity(), lambda: datetime.now(UTC))


async def bulk(api, who, *items):
    response = await api.http.post("/booking/bulk", json={"bookings": [*items]}, headers=who.headers)
    return done(response, 207)["items"]


async def test_each_item_is_on_its_own(api, guest):
    house = await api.restaurant()
    good = {"vendor_id": house.id, "party_size": 2, "starts_at": api.at(19)}
    items = await bulk(
        api,
        guest,
        good,
        {**good, "party_size": "2"},
        {**good, "starts_at": api.at(16)},
        {**good, "party_size": 99},
        {**good, "vendor_id": guest.id},
        {**good, "vendor_id": "nonsense"},
        17,
        None,
        {"party_size": 2, "starts_at": api.at(19)},
        {**good, "colour": "red"},
        {**good, "check_in": "2030-01-01"},
        good,
    )
    found = [(item["status"], (item.get("problem") or {}).get("code")) for item in items]
    assert found == [
        (201, None),
        (422, "invalid_request"),
        (409, "outside_opening_hours"),
        (409, "party_too_large"),
        (404, "not_found"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (201, None),
    ]
    assert items[1]["problem"]["errors"][0]["path"] == "party_size"
    assert await api.booking(guest, items[0]["booking"]["booking_id"]) == items[0]["booking"]
    listed = done(await api.http.get(f"/bookings/user/{guest.id}", headers=guest.headers))["items"]
    assert len(listed) == 2


async def test_one_seat_is_sold_once_among_items(api, guest):
    house = await api.restaurant(seats=[{"name": "T", "seat_type": "t", "capacity_min": 1, "capacity_max": 2}])
    item = {"vendor_id": house.id, "party_size": 2, "starts_at": api.at(19)}
    statuses = sorted(item["status"] for item in await bulk(api, guest, *[item] * 10))
    assert statuses == [201] + [409] * 9


async def test_items_for_many_houses(api, guest):
    houses = [await api.restaurant(), await api.hotel()]
    items = await bulk(
        api,
        guest,
        {"vendor_id": houses[0].id, "party_size": 2, "starts_at": api.at(19)},
        {
            "vendor_id": houses[1].id,
            "party_size": 4,
            "check_in": str(api.day(7)),
            "check_out": str(api.day(9)),
            "quantity": 2,
        },
    )
    assert [item["status"] for item in items] == [201, 201]


async def test_a_key_works_in_bulk_and_alone(api, guest):
    house = await api.restaurant()
    body = {"party_size": 2, "starts_at": api.at(19)}
    item = {"vendor_id": house.id, "idempotency_key": "one", **body}
    first = (await bulk(api, guest, item))[0]
    again = (await bulk(api, guest, item))[0]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["booking"] == first["booking"]
    alone = await api.http.post(
        f"/booking/vendor/{house.id}", json=body, headers={**guest.headers, "Idempotency-Key": "one"}
    )
    assert done(alone, 201) == first["booking"]
    assert alone.headers["idempotency-replayed"] == "true"
    other = (await bulk(api, guest, {**item, "party_size": 1}))[0]
    assert other["problem"]["code"] == "idempotency_key_reused"
    for key in ("", "k" * 256, 5):
        assert (await bulk(api, guest, {**item, "idempotency_key": key}))[0]["status"] == 422


@pytest.mark.parametrize(
    "body",
    [{}, {"bookings": []}, {"bookings": {}}, {"bookings": None}, {"bookings": [1], "x": 1}, {"bookings": [{}] * 501}],
    ids=["nothing", "none", "object", "null", "more", "501"],
)
async def test_a_bad_envelope_spoils_everything(api, guest, body):
    refused(await api.http.post("/booking/bulk", json=body, headers=guest.headers), 422, "invalid_request")


async def test_numbers_that_are_none_in_json(api, guest):
    for number in (b"NaN", b"Infinity", b"-Infinity"):
        body = b'{"bookings": [{"party_size": ' + number + b"}]}"
        refused(await api.http.post("/booking/bulk", content=body, headers=guest.headers), 422, "invalid_request")
    items = await bulk(api, guest, {"vendor_id": guest.id, "party_size": 10**400, "starts_at": api.at(19)})
    assert items[0]["status"] == 404


@pytest.mark.parametrize("digits", [401, 4300])
async def test_a_long_number_with_a_key_spoils_no_other_item(api, guest, digits):
    house = await api.restaurant()
    good = {"vendor_id": house.id, "party_size": 2, "starts_at": api.at(19)}
    bad = {**good, "party_size": 10 ** (digits - 1), "idempotency_key": "long"}
    items = await bulk(api, guest, good, bad, {**good, "idempotency_key": "short"})
    assert [item["status"] for item in items] == [201, 409, 201]
    assert items[1]["problem"]["code"] == "party_too_large"


async def test_an_item_that_fails_is_answered_for_itself(tokens):
    """A bug and a store that is away: the others were written, so they are told so."""
    failures = {1: RuntimeError("secret"), 2: StoreUnavailable("away"), 3: OutcomeUnknown("lost")}

    class Client:
        async def ask(self, command):
            if command.party_size in failures:
                raise failures[command.party_size]
            return Rejection(Reason.NO_AVAILABILITY, "Full.")

    app = booking_app(BookingDeps(Client(), tokens, lambda: 1))
    token = tokens.issue(Role.USER, UUID(int=1))
    good = {"vendor_id": str(UUID(int=0)), "starts_at": "2030-01-02T19:00"}
    with structlog.testing.capture_logs() as logs:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            response = await http.post(
                "/booking/bulk",
                json={"bookings": [{**good, "party_size": size} for size in (1, 2, 3, 4)]},
                headers={"Authorization": f"Bearer {token}"},
            )
    problems = [item["problem"] for item in done(response, 207)["items"]]
    assert [(problem["status"], problem["code"], problem["transient"]) for problem in problems] == [
        (500, "internal", False),
        (503, "dependency_unavailable", True),
        (503, "outcome_unknown", True),
        (409, "no_availability", True),
    ]
    assert "secret" not in response.text
    assert [line["event"] for line in logs] == ["request_failed", "store_failed", "store_failed"]
    assert logs[0]["reference"] in problems[0]["detail"]


async def test_as_many_as_allowed(api, guest):
    items = await bulk(api, guest, *[{"vendor_id": guest.id, "party_size": 2, "starts_at": api.at(19)}] * 500)
    assert {item["status"] for item in items} == {404}


async def test_only_users_book(api):
    house = await api.restaurant()
    body = {"bookings": [{}]}
    refused(await api.http.post("/booking/bulk", json=body), 401, "unauthenticated")
    for headers in (house.headers, api.operator):
        refused(await api.http.post("/booking/bulk", json=body, headers=headers), 403, "forbidden")
