"""The description is true. That each answer is as described is checked with every answer of every API test (`driving`)."""

import httpx
import pytest
from jsonschema import Draft202012Validator

from serve_app.errors import STATUS
from tests.api.driving import SERVICES, Description, done, hotel, restaurant, unique_email

# The paths of the contract, letter for letter, and a vendor's account.
CONTRACT = {
    "POST /user/create",
    "POST /user/login",
    "GET /user/{}",
    "PUT /user/{}",
    "POST /vendor/create",
    "POST /vendor/login",
    "GET /vendor/{}",
    "PUT /vendor/{}",
    "GET /vendor/{}/availability",
    "GET /vendors",
    "POST /booking/vendor/{}",
    "POST /booking/bulk",
    "GET /booking/{}",
    "PUT /booking/{}",
    "GET /booking/{}/status",
    "PUT /booking/{}/status",
    "GET /bookings/user/{}",
    "GET /bookings/vendor/{}",
    "GET /payment/{}",
    "POST /payment/webhook/{}",
    "GET /payment/sandbox/{}",
    "POST /payment/sandbox/{}",
    "GET /payment/vendor/{}/balance",
    "GET /payment/vendor/{}/movements",
    "GET /operator/shards",
    "POST /operator/shards/{}/move",
    "POST /operator/verify",
    "GET /",
    *(f"GET {prefix}/{page}" for prefix in SERVICES for page in ("healthz", "openapi.json", "docs")),
}


@pytest.fixture
def documents(api, description: Description):
    return description.documents


def declared(documents):
    for document in documents.values():
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation


async def test_the_contract_and_nothing_else_is_described(documents):
    found = {
        "".join([name.split("{")[0], "{}", name.rpartition("}")[2]]) if "{" in name else name
        for name, _ in declared(documents)
    }
    assert found == CONTRACT


async def test_what_is_described_is_served_and_what_is_served_is_described(api, documents, server):
    if server is None:
        pytest.skip("a running server does not show its operations")
    served = {
        f"{operation.method} {operation.path}" for service in server.app.services for operation in service.operations
    }
    assert served == {name for name, _ in declared(documents)}


async def test_every_described_route_is_routed(api, documents):
    """No route of the description is unknown to the server: 404 there would carry no more than the path's own reason."""
    for name, _ in declared(documents):
        method, path = name.split()
        other = "DELETE"
        response = await api.http.request(other, path.replace("{", "").replace("}", ""))
        assert response.status_code == 405, name
        assert method in response.headers["allow"].split(", ")


async def test_every_schema_is_one(documents):
    for document in documents.values():
        assert document["openapi"] == "3.1.0"
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
    for name, operation in declared(documents):
        for answer in operation["responses"].values():
            for content in answer["content"].values():
                Draft202012Validator.check_schema(content["schema"])
        assert operation["operationId"], name
    names = [operation["operationId"] for _, operation in declared(documents)]
    assert len(names) == len(set(names))


async def test_every_reference_leads_somewhere(documents):
    def references(part):
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                yield from references(each)

    for document in documents.values():
        found = set(references(document))
        assert found <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


async def test_every_code_stands_beside_its_status(documents):
    for name, operation in declared(documents):
        for status, answer in operation["responses"].items():
            problem = answer["content"].get("application/problem+json")
            if problem is not None:
                codes = problem["schema"]["allOf"][1]["properties"]["code"]["enum"]
                assert {STATUS[code] for code in codes} == {int(status)}, name
                assert ("Retry-After" in answer.get("headers", {})) == (status in {"429", "503"})


async def test_closed_routes_say_so(documents):
    for name, operation in declared(documents):
        closed = operation["security"] == [{"token": []}]
        assert closed == ("403" in operation["responses"]), name
        assert "401" in operation["responses"]
        assert "500" in operation["responses"]


async def test_every_route_answers_as_described(api, guest, description, server):
    """One success of each route; what they look like is checked by the client itself."""
    if server is None:
        pytest.skip("nobody but the provider can sign what it tells a running server")
    house = await api.restaurant(policy={"deposit": {"kind": "per_booking", "amount_minor": 1000}})
    booking = await api.booked(guest, house)
    ids = {"user": guest, "vendor": house}
    account = {"email": unique_email(), "password": "correct horse battery", "name": "Ada"}
    day = str(api.day())
    path = f"/booking/{booking['booking_id']}"
    payment_id = booking["payment"]["payment_id"]
    told = b'{"event_id": "evt_described"}'
    calls = [
        ("POST", "/user/create", account, {}),
        ("POST", "/user/login", {"email": account["email"], "password": account["password"]}, {}),
        ("GET", f"/user/{guest.id}", None, guest.headers),
        ("PUT", f"/user/{guest.id}", {"name": "A"}, guest.headers),
        ("POST", "/vendor/create", hotel(), {}),
        ("POST", "/vendor/create", restaurant(), {}),
        ("POST", "/vendor/login", {"email": house.email, "password": house.body["password"]}, {}),
        ("GET", f"/vendor/{house.id}", None, {}),
        ("PUT", f"/vendor/{house.id}", {"name": "A"}, house.headers),
        ("GET", f"/vendor/{house.id}/availability?from={day}&to={day}", None, {}),
        ("GET", "/vendors", None, {}),
        ("POST", f"/booking/vendor/{house.id}", {"party_size": 2, "starts_at": api.at(12)}, guest.headers),
        ("POST", "/booking/bulk", {"bookings": [{}]}, guest.headers),
        ("GET", path, None, guest.headers),
        ("PUT", path, {"notes": "x"}, guest.headers),
        ("GET", f"{path}/status", None, guest.headers),
        ("PUT", f"{path}/status", {"status": "CONFIRMED"}, house.headers),
        ("GET", f"/payment/{payment_id}", None, guest.headers),
        ("GET", f"/payment/sandbox/{payment_id}", None, {}),
        ("POST", f"/payment/sandbox/{payment_id}", b"choice=pay", {}),
        ("POST", "/payment/webhook/sandbox", told, server.money.provider.signed(told, server.money.clock())),
        ("GET", f"/payment/vendor/{house.id}/balance", None, house.headers),
        ("GET", f"/payment/vendor/{house.id}/movements", None, house.headers),
        *(("GET", f"/bookings/{role}/{who.id}?when=all", None, who.headers) for role, who in ids.items()),
        ("GET", "/operator/shards", None, api.operator),
        ("POST", "/operator/shards/0/move", None, api.operator),
        ("POST", "/operator/verify", None, api.operator),
        ("GET", "/", None, {}),
        *(("GET", f"{prefix}/{page}", None, {}) for prefix in SERVICES for page in ("healthz", "openapi.json", "docs")),
    ]
    for method, url, body, headers in calls:
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        response = await api.http.request(method, url, headers=headers, **given)
        assert response.is_success, (method, url, response.text)
    successes = {(method, template) for method, template, status in description.seen if status.startswith("2")}
    assert {name for name, _ in declared(description.documents)} == {f"{method} {path}" for method, path in successes}


async def test_the_check_can_fail(api, description):
    """An answer that the description does not promise is found out."""
    request = httpx.Request("GET", "http://test/booking/healthz")
    for response in (
        httpx.Response(200, json={"status": "ok"}, request=request),
        httpx.Response(200, json={"status": 1, "service": "booking"}, request=request),
        httpx.Response(418, json={}, request=request),
        httpx.Response(200, text="ok", request=request),
    ):
        with pytest.raises(AssertionError):
            await description.check(response)
    await description.check(httpx.Response(200, json={"status": "ok", "service": "booking"}, request=request))


async def test_the_pages_are_self_contained(api):
    for prefix in SERVICES:
        for path in (f"{prefix}/docs", "/"):
            response = await api.http.get(path)
            assert "<script" not in response.text
            assert " src=" not in response.text
            assert "//" not in response.text
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


async def test_the_front_page_leads_to_every_service(api):
    text = (await api.http.get("/")).text
    for prefix in SERVICES:
        if prefix:
            assert f'href="{prefix}/docs"' in text
    assert done(await api.http.get("/healthz")) == {"status": "ok", "service": "pages"}
