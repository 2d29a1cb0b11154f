"""Who may do what: every declared route, tried by everybody there is."""

from uuid import UUID

import pytest

from domain.command import Role
from serve_app.operation import ANYONE, Operation
from tests.api.driving import Api, done, refused

CALLERS = ("owner", "other guest", "its vendor", "other vendor", "operator", "anonymous")

# What each of the callers above gets. 2 stands for success; what a route says of its own state comes first.
MATRIX = {
    "GET /user/{user_id}": (200, 404, 404, 404, 200, 401),
    "PUT /user/{user_id}": (200, 404, 404, 404, 403, 401),
    "GET /vendor/{vendor_id}": (200, 200, 200, 200, 200, 200),
    "PUT /vendor/{vendor_id}": (403, 403, 200, 403, 403, 401),
    "GET /vendor/{vendor_id}/availability": (200, 200, 200, 200, 200, 200),
    "GET /vendors": (200,) * 6,
    "POST /booking/vendor/{vendor_id}": (201, 201, 403, 403, 403, 401),
    "POST /booking/bulk": (207, 207, 403, 403, 403, 401),
    "GET /booking/{booking_id}": (200, 404, 200, 404, 200, 401),
    "PUT /booking/{booking_id}": (200, 404, 403, 404, 403, 401),
    "GET /booking/{booking_id}/status": (200, 404, 200, 404, 200, 401),
    "PUT /booking/{booking_id}/status": (200, 404, 200, 404, 200, 401),
    "GET /bookings/user/{user_id}": (200, 404, 404, 404, 200, 401),
    "GET /bookings/vendor/{vendor_id}": (403, 403, 200, 403, 200, 401),
    "GET /payment/{payment_id}": (200, 404, 200, 404, 200, 401),
    "GET /payment/vendor/{vendor_id}/balance": (403, 403, 200, 403, 200, 401),
    "GET /payment/vendor/{vendor_id}/movements": (403, 403, 200, 403, 200, 401),
    "POST /payment/webhook/{provider}": (400,) * 6,
    "GET /payment/sandbox/{payment_id}": (200,) * 6,
    "POST /payment/sandbox/{payment_id}": (200,) * 6,
    "GET /operator/shards": (403, 403, 403, 403, 200, 401),
    "POST /operator/shards/{shard_id}/move": (403, 403, 403, 403, 202, 401),
    "POST /operator/verify": (403, 403, 403, 403, 200, 401),
    "GET /": (200,) * 6,
}
# Nobody needs a token for these, and every service has them; they are tried by the anonymous caller elsewhere.
OPEN = {"POST /user/create", "POST /user/login", "POST /vendor/create", "POST /vendor/login"}
PUBLIC = {
    "GET /vendor/{vendor_id}",
    "GET /vendor/{vendor_id}/availability",
    "GET /vendors",
    "POST /payment/webhook/{provider}",
    "GET /payment/sandbox/{payment_id}",
    "POST /payment/sandbox/{payment_id}",
}
OWN = ("/healthz", "/openapi.json", "/docs")

BODIES = {
    "PUT /user/{user_id}": {"name": "Ada"},
    "PUT /vendor/{vendor_id}": {"name": "Zum Test"},
    "PUT /booking/{booking_id}": {"notes": "Window"},
    "PUT /booking/{booking_id}/status": {"status": "CANCELLED"},
    "POST /booking/bulk": {"bookings": [{}]},
    "POST /payment/webhook/{provider}": {"event_id": "forged"},
}
FORMS = {"POST /payment/sandbox/{payment_id}": {"choice": "decline"}}
DEPOSIT = {"deposit": {"kind": "per_booking", "amount_minor": 1000}}


def route(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture
def operations(server):
    if server is None:
        pytest.skip("a running server does not show its operations")
    return [operation for service in server.app.services for operation in service.operations]


async def test_every_route_is_in_the_matrix(api, operations):
    tried = {route(operation) for operation in operations if not operation.path.endswith(OWN)}
    assert tried == MATRIX.keys() | OPEN


async def test_every_route_declares_who_may_call_it(api, operations):
    for operation in operations:
        assert operation.callers, route(operation)
        assert operation.callers <= {None, *Role}
        public = operation.path.endswith((*OWN, "/")) or route(operation) in OPEN
        public = public or route(operation) in PUBLIC
        assert (None in operation.callers) == public, route(operation)
        assert public == (operation.callers == ANYONE)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", MATRIX)
async def test_access(api: Api, route: str, caller: str):
    guest = await api.user()
    house = await (api.restaurant(policy=DEPOSIT) if "{payment_id}" in route else api.restaurant())
    booking = await api.booked(guest, house)
    headers = {
        "owner": guest.headers,
        "its vendor": house.headers,
        "operator": api.operator,
        "anonymous": {},
    }.get(caller)
    if headers is None:
        headers = (await (api.user() if caller == "other guest" else api.restaurant())).headers

    method, path = route.split()
    path = path.format(
        user_id=guest.id,
        vendor_id=house.id,
        booking_id=booking["booking_id"],
        payment_id=(booking["payment"] or {}).get("payment_id"),
        provider="sandbox",
        shard_id=0,
    )
    body = BODIES.get(route)
    if route == "POST /booking/vendor/{vendor_id}":
        body = {"party_size": 2, "starts_at": api.at(12)}
    query = {"from": str(api.day()), "to": str(api.day())} if path.endswith("availability") else None
    form = FORMS.get(route)
    response = await api.http.request(method, path, json=body, data=form, params=query, headers=headers)

    expected = MATRIX[route][CALLERS.index(caller)]
    if expected in {401, 403, 404}:
        code = {401: "unauthenticated", 403: "forbidden", 404: "not_found"}[expected]
        refused(response, expected, code)
        assert await api.booking(guest, booking["booking_id"]) == booking
    else:
        assert response.status_code == expected, response.text


async def test_nothing_of_a_stranger_can_be_told_from_nothing_at_all(api, guest):
    stranger, house = await api.user(), await api.restaurant()
    booking = await api.booked(stranger, house)
    nothing = str(UUID(booking["booking_id"][:-12] + "000000000000"))
    for suffix in ("", "/status"):
        there = await api.http.get(f"/booking/{booking['booking_id']}{suffix}", headers=guest.headers)
        not_there = await api.http.get(f"/booking/{nothing}{suffix}", headers=guest.headers)
        assert refused(there, 404, "not_found") == refused(not_there, 404, "not_found")
    for status in ("CANCELLED", "CONFIRMED"):
        there = await api.set_status(guest, booking["booking_id"], status)
        assert refused(there, 404, "not_found") == refused(
            await api.set_status(guest, nothing, status), 404, "not_found"
        )
    there = await api.amend(guest, booking["booking_id"], notes="x")
    assert refused(there, 404, "not_found") == refused(await api.amend(guest, nothing, notes="x"), 404, "not_found")


async def test_price_status_ids_and_roles_never_come_from_the_client(api, guest):
    house = await api.restaurant()
    url = f"/booking/vendor/{house.id}"
    body = {"party_size": 2, "starts_at": api.at(19)}
    for name, value in (
        ("status", "CONFIRMED"),
        ("booking_id", guest.id),
        ("user_id", guest.id),
        ("price", None),
        ("version", 1),
    ):
        response = await api.http.post(url, json={**body, name: value}, headers=guest.headers)
        refused(response, 422, "invalid_request", name)
    done(await api.http.post(url, json=body, headers=guest.headers), 201)
