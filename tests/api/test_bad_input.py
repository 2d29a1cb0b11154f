"""What bad input gets: a clear problem with a code and the field's name, nothing written, the process unharmed."""

import asyncio

import pytest

from tests.api.driving import done, refused

TABLE = {"party_size": 2, "starts_at": "2030-01-02T19:00"}
ROOM = {"party_size": 2, "check_in": "2030-01-02", "check_out": "2030-01-04"}


BAD_HOLDS = [
    ({"party_size": 0}, "party_size"),
    ({"party_size": -3}, "party_size"),
    ({"party_size": "2"}, "party_size"),
    ({"party_size": True}, "party_size"),
    ({"party_size": 2.5}, "party_size"),
    ({"party_size": None}, "party_size"),
    ({"starts_at": "tomorrow"}, "starts_at"),
    ({"starts_at": 1_893_610_800}, "starts_at"),
    ({"starts_at": "2030-02-30T19:00"}, "starts_at"),
    ({"starts_at": "2030-01-02"}, "starts_at"),
    ({"starts_at": None}, "starts_at"),
    ({"starts_at": "2030-01-02T19:00", "check_in": "2030-01-02"}, "starts_at"),
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": "1"}, "quantity"),
    ({"quantity": 201}, "quantity"),
    ({"seat_type": "throne"}, "seat_type"),
    ({"seat_type": 5}, "seat_type"),
    ({"notes": "x" * 2001}, "notes"),
    ({"notes": "a\0b"}, "notes"),
    ({"contact": "Ada"}, "contact"),
    ({"contact": {"email": "nowhere"}}, "contact.email"),
    ({"contact": {"name": "x" * 201}}, "contact.name"),
    ({"contact": {"fax": "1"}}, "contact.fax"),
    ({"price": {"amount_minor": 1, "currency": "EUR"}}, "price"),
    ({"status": "CONFIRMED"}, "status"),
    ({"user_id": "018f0000-0000-7000-8000-000000000000"}, "user_id"),
]


@pytest.mark.parametrize(("given", "path"), BAD_HOLDS)
async def test_a_bad_hold_names_the_field(api, guest, given, path):
    house = await api.restaurant()
    body = {**TABLE, "starts_at": api.at(19), **given}
    response = await api.http.post(f"/booking/vendor/{house.id}", json=body, headers=guest.headers)
    refused(response, 422, "invalid_request", path)
    assert done(await api.http.get(f"/bookings/user/{guest.id}?when=all", headers=guest.headers))["items"] == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"check_out": "2030-01-02"}, "check_out"),
        ({"check_out": "2030-01-01"}, "check_out"),
        ({"check_out": None}, "check_out"),
        ({"check_in": None}, "check_in"),
        ({"quantity": 201, "party_size": 201}, "quantity"),
        ({"check_in": "2030-01-02T15:00"}, "check_in"),
        ({"check_in": "9999-12-31", "check_out": "10000-01-01"}, "check_out"),
        ({"check_in": None, "check_out": None, "starts_at": "2030-01-02T19:00"}, "check_in"),
    ],
)
async def test_a_bad_stay_names_the_field(api, guest, given, path):
    house = await api.hotel()
    body = {name: value for name, value in {**ROOM, **given}.items() if value is not None}
    response = await api.http.post(f"/booking/vendor/{house.id}", json=body, headers=guest.headers)
    refused(response, 422, "invalid_request", path)


async def test_a_table_is_not_booked_by_nights(api, guest):
    house = await api.restaurant()
    response = await api.http.post(f"/booking/vendor/{house.id}", json=ROOM, headers=guest.headers)
    refused(response, 422, "invalid_request", "starts_at")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"party_size": None}, "party_size"),
        ({"party_size": 0}, "party_size"),
        ({"starts_at": None}, "starts_at"),
        ({"starts_at": "2030-01-02T19:00", "check_in": "2030-01-02"}, "starts_at"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 201}, "quantity"),
        ({"seat_type": "throne"}, "seat_type"),
        ({"notes": "x" * 2001}, "notes"),
        ({"contact": {"name": "B"}}, "contact"),
        ({"status": "CANCELLED"}, "status"),
        ({"check_in": "2030-01-02", "check_out": "2030-01-03"}, "check_in"),
    ],
)
async def test_a_bad_amendment_names_the_field_and_changes_nothing(api, guest, given, path):
    house = await api.restaurant()
    booking = await api.booked(guest, house)
    refused(await api.amend(guest, booking["booking_id"], **given), 422, "invalid_request", path)
    assert await api.booking(guest, booking["booking_id"]) == booking


MALFORMED = [
    b"",
    b"{",
    b"nothing",
    b"\xff\xfe\x00",
    b"[]",
    b'"text"',
    b"null",
    b"{}{}",
    b'{"party_size": NaN}',
    b'{"party_size": 1e999}',
    b'{"party_size": ' + b"9" * 5000 + b".0}",
    b'{"notes": "\\ud800"}',
    b"[" * 200_000,
    b'{"a":' * 40_000,
    b'{"notes": ' + b'{"a":' * 40_000 + b"1" + b"}" * 40_000 + b"}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize(
    "route",
    ["POST /booking/vendor/{vendor}", "POST /booking/bulk", "PUT /booking/{booking}", "PUT /booking/{booking}/status"],
)
async def test_malformed_bodies(api, guest, body, route):
    method, path = route.format(
        vendor="018f0000-0000-7000-8000-000000000000", booking="018f0000-0000-7000-8000-000000000000"
    ).split()
    response = await api.http.request(method, path, content=body, headers=guest.headers)
    refused(response, 422, "invalid_request")


@pytest.mark.parametrize("path", ["/user/create", "/user/login", "/vendor/create", "/vendor/login"])
@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_accounts(api, path, body):
    refused(await api.http.post(path, content=body), 422, "invalid_request")


async def test_huge_bodies(api, guest):
    body = b'{"notes": "' + b"x" * 300_000 + b'"}'
    for path in (
        "/booking/bulk",
        "/booking/vendor/018f0000-0000-7000-8000-000000000000",
        "/user/create",
        "/vendor/create",
    ):
        refused(await api.http.post(path, content=body, headers=guest.headers), 413, "payload_too_large")

    async def chunks():
        for _ in range(8):
            yield b" " * 65_536

    refused(await api.http.post("/booking/bulk", content=chunks(), headers=guest.headers), 413, "payload_too_large")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_bad_idempotency_keys(api, guest, key):
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    headers = {"Idempotency-Key": key}
    refused(await api.hold(guest, house, headers=headers), 422, "invalid_request", "Idempotency-Key")
    refused(await api.amend(guest, booking_id, headers=headers, notes="x"), 422, "invalid_request", "Idempotency-Key")
    refused(
        await api.set_status(guest, booking_id, "CANCELLED", headers=headers), 422, "invalid_request", "Idempotency-Key"
    )


async def test_tokens_that_are_none(api):
    house, guest = await api.restaurant(), await api.user()
    token = guest.headers["Authorization"]
    bent = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
    for header in (
        bent,
        token[:-1],
        token + "x",
        token.removeprefix("Bearer "),
        "Basic YTpi",
        "Bearer",
        "Bearer " + "x" * 5000,
    ):
        for method, path in (
            ("GET", f"/user/{guest.id}"),
            ("GET", f"/vendor/{house.id}"),
            ("GET", f"/vendor/{house.id}/availability?from=2030-01-01&to=2030-01-01"),
            ("GET", f"/bookings/user/{guest.id}"),
            ("GET", "/operator/shards"),
        ):
            response = await api.http.request(method, path, headers={"Authorization": header})
            refused(response, 401, "unauthenticated")
            assert response.headers["www-authenticate"] == "Bearer"


async def test_unknown_query_parameters(api, guest):
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    for method, path in (
        ("GET", f"/user/{guest.id}?x=1"),
        ("GET", f"/vendor/{house.id}?x=1"),
        ("GET", f"/booking/{booking_id}?x=1"),
        ("GET", f"/booking/{booking_id}/status?x=1"),
        ("GET", f"/bookings/user/{guest.id}?x=1"),
        ("GET", f"/bookings/user/{guest.id}?from=2030-01-01"),
        ("GET", f"/bookings/vendor/{house.id}?x=1"),
    ):
        refused(await api.http.request(method, path, headers=guest.headers), 422, "invalid_request")


async def test_the_server_is_unharmed_by_a_crowd_of_nonsense(api, guest):
    house = await api.restaurant()
    url = f"/booking/vendor/{house.id}"
    bodies = [MALFORMED[number % len(MALFORMED)] for number in range(100)]
    answers = await asyncio.gather(*(api.http.post(url, content=body, headers=guest.headers) for body in bodies))
    assert {answer.status_code for answer in answers} == {422}
    await api.booked(guest, house)
