"""What every route has in common, on a service of four small routes."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

import httpx
import pytest
import structlog
from pydantic import Field

from actors.outcome import Trouble, Unavailable
from domain.command import Role
from domain.rejection import Reason, Rejection
from serve_app.answer import json_answer
from serve_app.auth import SigningKeys, Tokens
from serve_app.errors import not_found
from serve_app.fields import Line, QueryInt, Shown, Strict
from serve_app.operation import ANYONE, LOGGED_IN, ONLY_OPERATORS, Operation
from serve_app.service import About, Service
from storage.errors import OutcomeUnknown, StoreUnavailable

THING = "018f0000-0000-7000-8000-000000000000"
LIMIT = 256 * 1024


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2026, 1, 1, tzinfo=UTC)


class ThingBody(Strict):
    size: Annotated[int, Field(ge=1)]
    names: list[Line] | None = None


class ThingAsked(Strict):
    limit: Annotated[QueryInt, Field(ge=1, le=10)] = 5
    first: Line | None = Field(default=None, alias="from")


class ThingShown(Shown):
    thing_id: UUID
    size: int | None
    key: str | None
    version: int | None
    wait: int
    caller: str | None


OUTCOMES = {
    "rejected": Rejection(Reason.NO_AVAILABILITY, "Nothing is free."),
    "rated": Rejection(Reason.RATE_LIMITED, "Too many."),
    "away": Unavailable(Trouble.OVERLOADED, "Busy.", retry_after_seconds=7),
    "missing": not_found(),
}


async def show(call):
    content = {
        "thing_id": call.id,
        "size": getattr(call.body, "size", None),
        "key": call.key,
        "version": call.version,
        "wait": call.wait_seconds,
        "caller": call.caller and call.caller.role.value,
    }
    return json_answer(content, version=7)


async def break_down(call):
    match call.segment:
        case "bug":
            raise RuntimeError("secret inside")
        case "store":
            raise StoreUnavailable
        case "unknown":
            raise OutcomeUnknown
        case "nothing":
            return None
        case name:
            return OUTCOMES[name]


OPERATIONS = [
    Operation("GET", "/thing/{thing_id}", "Look", ANYONE, show, answer=ThingShown, query=ThingAsked, takes_wait=True),
    Operation(
        "PUT",
        "/thing/{thing_id}",
        "Change",
        LOGGED_IN,
        show,
        answer=ThingShown,
        body=ThingBody,
        takes_key=True,
        takes_version=True,
    ),
    Operation(
        "POST", "/thing/move", "Move", ONLY_OPERATORS, show, body=ThingBody, body_optional=True, answer=ThingShown
    ),
    Operation("POST", "/thing/{what}/break", "Break", ANYONE, break_down, id_is_uuid=False, answer=ThingShown),
]


@pytest.fixture
def tokens():
    return Tokens(SigningKeys("k", {"k": b"s" * 32}), Validity(), lambda: datetime.now(UTC))


@pytest.fixture
async def client(tokens):
    app = Service(About("thing", "/thing", "Things", "Things."), OPERATIONS, tokens)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def as_user(tokens):
    return {"Authorization": f"Bearer {tokens.issue(Role.USER, uuid4())}"}


@pytest.fixture
def as_operator(tokens):
    return {"Authorization": f"Bearer {tokens.issue(Role.OPERATOR, UUID(int=0))}"}


def refused(response, status, code):
    content = response.json()
    assert (response.status_code, content["code"]) == (status, code), content
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "transient"} <= set(content)
    return content


async def test_a_public_route_serves_anybody_but_no_bad_token(client, as_user):
    anonymous = await client.get(f"/thing/{THING}")
    assert (anonymous.status_code, anonymous.headers["etag"], anonymous.json()["caller"]) == (200, '"7"', None)
    assert (await client.get(f"/thing/{THING}", headers=as_user)).json()["caller"] == "user"
    response = await client.get(f"/thing/{THING}", headers={"Authorization": "Bearer x"})
    refused(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_route_without_its_role_is_closed(client, as_user):
    refused(await client.put(f"/thing/{THING}", json={"size": 1}), 401, "unauthenticated")
    refused(await client.post("/thing/move", headers=as_user, json={"size": 1}), 403, "forbidden")


async def test_the_order_of_refusals(client, as_user):
    refused(await client.put("/thing/nonsense", json={"size": 0}), 401, "unauthenticated")
    refused(await client.put("/thing/nonsense", json={"size": 0}, headers=as_user), 422, "invalid_request")
    refused(await client.post("/thing/move", json={"size": 0}, headers=as_user), 422, "invalid_request")
    refused(await client.post("/thing/move", json={"size": 1}, headers=as_user), 403, "forbidden")
    refused(await client.put("/thing/nonsense", json={"size": 1}, headers=as_user), 404, "not_found")


@pytest.mark.parametrize(
    "segment",
    [
        "nonsense",
        "018f0000000070008000000000000000",
        "{" + THING + "}",
        "urn:uuid:" + THING,
        THING[:-1],
        THING + "0",
        "%00",
    ],
)
async def test_a_malformed_id_is_an_unknown_one(client, segment):
    refused(await client.get(f"/thing/{segment}"), 404, "not_found")


async def test_an_id_may_be_written_in_capitals(client):
    assert (await client.get(f"/thing/{THING.upper()}")).json()["thing_id"] == THING


async def test_unknown_paths_and_slashes_are_not_found_and_never_redirected(client):
    for path in ("/", "/thing", "/thing/", f"/thing/{THING}/", "//thing", f"/thing/{THING}/x", "/things"):
        refused(await client.get(path), 404, "not_found")


async def test_another_method_is_405_and_says_which_are_taken(client):
    response = await client.delete(f"/thing/{THING}")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, PUT"
    refused(await client.request("BREW", "/thing/move"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"[1]", ""),
        (b"null", ""),
        (b'{"size": "1"}', "size"),
        (b'{"size": NaN}', "size"),
        (b'{"size": 1, "colour": 2}', "colour"),
        (b'{"size": 1, "names": ["a", 1]}', "names[1]"),
        (b'{"size": 1, "names": ["a", "b\\u0000"]}', "names[1]"),
        (b'{"size": 1, "names": ' + b"[" * 200_000, ""),
        (b'{"a":' * 40_000, ""),
        (b'{"size": 1, "\\u0000\\n": 1}', "?"),
    ],
)
async def test_a_bad_body_names_the_field(client, as_user, body, path):
    content = refused(await client.put(f"/thing/{THING}", content=body, headers=as_user), 422, "invalid_request")
    assert content["errors"][0]["path"] == path
    assert content["errors"][0]["message"]


async def test_a_body_of_many_faults_gets_a_short_answer(client, as_user):
    response = await client.put(f"/thing/{THING}", json={f"x{n}": n for n in range(5000)}, headers=as_user)
    content = refused(response, 422, "invalid_request")
    assert len(content["errors"]) == 50
    assert len(response.content) < 10_000


async def test_what_was_sent_is_never_echoed(client, as_user):
    response = await client.put(f"/thing/{THING}", json={"size": "hunter2"}, headers=as_user)
    assert "hunter2" not in response.text


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer(client, as_user):
    whole = b'{"size": 1' + b" " * (LIMIT - 11) + b"}"
    assert len(whole) == LIMIT
    assert (await client.put(f"/thing/{THING}", content=whole, headers=as_user)).status_code == 200
    refused(await client.put(f"/thing/{THING}", content=whole + b" ", headers=as_user), 413, "payload_too_large")


async def test_a_chunked_body_cannot_pass_the_limit(client, as_user):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65_536

    refused(await client.put(f"/thing/{THING}", content=endless(), headers=as_user), 413, "payload_too_large")
    assert sent <= 6


async def test_a_declared_length_is_believed_when_it_is_too_long(client, as_user):
    headers = {**as_user, "Content-Length": "99999999999999999999"}
    refused(await client.put(f"/thing/{THING}", content=b"{}", headers=headers), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=11", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=1&limit=2", "limit"),
        ("colour=red", "colour"),
        ("first=x", "first"),
        ("from=%00", "from"),
        ("from=%ff", ""),
        ("&".join(f"a{n}=1" for n in range(60)), ""),
    ],
)
async def test_a_bad_query_names_the_parameter(client, query, path):
    content = refused(await client.get(f"/thing/{THING}?{query}"), 422, "invalid_request")
    assert content["errors"][0]["path"] == path


async def test_a_route_that_takes_no_query_refuses_one(client, as_user):
    content = refused(
        await client.put(f"/thing/{THING}?x=1", json={"size": 1}, headers=as_user), 422, "invalid_request"
    )
    assert content["errors"][0]["path"] == "x"


async def test_the_headers_with_a_meaning_arrive(client, as_user):
    headers = {**as_user, "Idempotency-Key": "k" * 255, "If-Match": '"3"', "Prefer": "wait=9"}
    content = (await client.put(f"/thing/{THING}", json={"size": 1}, headers=headers)).json()
    assert (content["key"], content["version"], content["wait"]) == ("k" * 255, 3, 0)
    assert (await client.get(f"/thing/{THING}", headers={"Prefer": "wait=99"})).json()["wait"] == 30


@pytest.mark.parametrize(
    ("name", "value"), [("Idempotency-Key", ""), ("Idempotency-Key", "k" * 256), ("If-Match", '"1" "2"')]
)
async def test_a_bad_header_is_named(client, as_user, name, value):
    response = await client.put(f"/thing/{THING}", json={"size": 1}, headers={**as_user, name: value})
    assert refused(response, 422, "invalid_request")["errors"][0]["path"] == name


@pytest.mark.parametrize(
    ("what", "status", "code", "retry"),
    [
        ("rejected", 409, "no_availability", None),
        ("rated", 429, "rate_limited", "60"),
        ("away", 503, "overloaded", "7"),
        ("missing", 404, "not_found", None),
        ("store", 503, "dependency_unavailable", "1"),
        ("unknown", 503, "outcome_unknown", "1"),
    ],
)
async def test_every_way_to_refuse(client, what, status, code, retry):
    response = await client.post(f"/thing/{what}/break")
    content = refused(response, status, code)
    assert response.headers.get("retry-after") == retry
    assert content["transient"] == (status in {429, 503} or code == "no_availability")


async def test_a_bug_is_500_and_logged_and_tells_the_client_nothing(client):
    with structlog.testing.capture_logs() as logs:
        response = await client.post("/thing/bug/break")
    content = refused(response, 500, "internal")
    assert "secret" not in response.text
    assert logs[0]["event"] == "request_failed"
    assert logs[0]["reference"] in content["detail"]
    assert (await client.get(f"/thing/{THING}")).status_code == 200


async def test_a_body_may_be_left_out_where_it_is_optional(client, as_operator):
    assert (await client.post("/thing/move", headers=as_operator)).json()["size"] is None
    assert (await client.post("/thing/move", headers=as_operator, json={"size": 2})).json()["size"] == 2


async def test_a_client_that_leaves_in_the_middle_of_its_body_gets_nothing(tokens, as_user):
    app = Service(About("thing", "/thing", "Things", "Things."), OPERATIONS, tokens)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/thing/{THING}",
        "query_string": b"",
        "headers": [(b"authorization", as_user["Authorization"].encode())],
    }
    await app(scope, receive, send)
    assert sent == []


async def test_routing_does_not_depend_on_where_the_app_is_mounted(tokens):
    app = Service(About("thing", "/thing", "Things", "Things."), OPERATIONS, tokens)
    transport = httpx.ASGITransport(app, root_path="/thing")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get(f"/thing/{THING}")).status_code == 200
        assert (await client.get("/thing/healthz")).status_code == 200


async def test_health_description_and_docs(client):
    assert (await client.get("/thing/healthz")).json() == {"status": "ok", "service": "thing"}
    description = (await client.get("/thing/openapi.json")).json()
    assert description["openapi"] == "3.1.0"
    assert set(description["paths"]) == {
        "/thing/{thing_id}",
        "/thing/move",
        "/thing/{what}/break",
        "/thing/healthz",
        "/thing/openapi.json",
        "/thing/docs",
    }
    docs = await client.get("/thing/docs")
    assert docs.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in docs.headers["content-security-policy"]
    assert "<script" not in docs.text
    assert "http" not in docs.text.replace("http.", "").split("<body>")[0]
    assert "/thing/{thing_id}" in docs.text
