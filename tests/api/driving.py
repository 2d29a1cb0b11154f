"""Drives the API as clients do: accounts, houses and bookings in one call each, every answer held against openapi.json."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
from jsonschema import Draft202012Validator

from domain.command import Role

SERVICES = ("/user", "/vendor", "/vendors", "/booking", "/bookings", "/payment", "/operator", "")
PASSWORD = "correct horse battery"
VIENNA = ZoneInfo("Europe/Vienna")
PROBLEM = "application/problem+json"

_numbers = count(1)


class Description:
    """What the services say of themselves, and which answers were seen that they speak of."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.seen: set[tuple[str, str, str]] = set()
        self._patterns: list[tuple[re.Pattern[str], str, dict[str, Any]]] = []

    def add(self, prefix: str, document: dict[str, Any]) -> None:
        self.documents[prefix] = document
        for path in sorted(document["paths"], key=lambda path: "{" in path):
            pattern = re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))
            self._patterns.append((pattern, path, document))

    async def check(self, response: httpx.Response) -> None:
        """Raise AssertionError unless the answer is one that the description promises."""
        await response.aread()
        request = response.request
        path, document = self._template(request.url.path)
        operation = document["paths"][path].get(request.method.lower()) if document else None
        if operation is None:
            assert response.status_code in {404, 405}, (request.method, request.url.path, response.status_code)
            assert response.headers["content-type"] == PROBLEM
            return
        what = f"{request.method} {path} -> {response.status_code}: {response.text[:500]}"
        declared = operation["responses"].get(str(response.status_code))
        assert declared is not None, f"not declared: {what}"
        self.seen.add((request.method, path, str(response.status_code)))
        for name in declared.get("headers", {}):
            assert name in response.headers or name == "Idempotency-Replayed", f"no {name}: {what}"
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in declared["content"], f"{media_type} is not declared: {what}"
        if media_type.endswith("json"):
            schema = {**declared["content"][media_type]["schema"], "components": document["components"]}
            validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
            faults = [*validator.iter_errors(response.json())]
            assert not faults, f"{faults[0].json_path}: {faults[0].message}: {what}"

    def _template(self, path: str) -> tuple[str, dict[str, Any] | None]:
        for pattern, template, document in self._patterns:
            if pattern.fullmatch(path):
                return template, document
        return path, None


@dataclass(frozen=True)
class Account:
    """Somebody with a token; `body` is what the account was made of."""

    id: str
    headers: dict[str, str]
    email: str = ""
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Api:
    """One client of one server. `issue` makes a token without a login, where the server is in this process."""

    http: httpx.AsyncClient
    operator_token: Callable[[], str]
    now: Callable[[], datetime]
    issue: Callable[[Role, str], str] | None = None

    @property
    def operator(self) -> dict[str, str]:
        """The headers of an operator's token."""
        return {"Authorization": f"Bearer {self.operator_token()}"}

    async def user(self, **given: Any) -> Account:
        body = {"email": unique_email(), "password": PASSWORD, "name": "Ada Lovelace", **given}
        made = done(await self.http.post("/user/create", json=body), 201)
        return Account(made["user_id"], await self._logged_in(Role.USER, made["user_id"], body), body["email"], body)

    async def restaurant(self, **given: Any) -> Account:
        return await self.house(restaurant(**given))

    async def hotel(self, **given: Any) -> Account:
        return await self.house(hotel(**given))

    async def house(self, body: dict[str, Any]) -> Account:
        made = done(await self.http.post("/vendor/create", json=body), 201)
        return Account(
            made["vendor_id"], await self._logged_in(Role.VENDOR, made["vendor_id"], body), body["email"], body
        )

    async def _logged_in(self, role: Role, account_id: str, body: dict[str, Any]) -> dict[str, str]:
        if self.issue is None:
            return await self.login(role.value, body)
        return {"Authorization": f"Bearer {self.issue(role, account_id)}"}

    async def login(self, role: str, body: dict[str, Any]) -> dict[str, str]:
        credentials = {"email": body["email"], "password": body["password"]}
        token = done(await self.http.post(f"/{role}/login", json=credentials))["access_token"]
        return {"Authorization": f"Bearer {token}"}

    async def hold(
        self, guest: Account, house: Account, *, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx.Response:
        body = {"party_size": 2, **(when_of(house, self.now()) if not given.keys() & WHEN else {}), **given}
        return await self.http.post(
            f"/booking/vendor/{house.id}", json=body, headers={**guest.headers, **(headers or {})}
        )

    async def booked(self, guest: Account, house: Account, **given: Any) -> dict[str, Any]:
        return done(await self.hold(guest, house, **given), 201)

    async def amend(
        self, who: Account, booking_id: str, *, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx.Response:
        return await self.http.put(f"/booking/{booking_id}", json=given, headers={**who.headers, **(headers or {})})

    async def set_status(
        self, who: Account, booking_id: str, status: str, *, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx.Response:
        return await self.http.put(
            f"/booking/{booking_id}/status",
            json={"status": status, **given},
            headers={**who.headers, **(headers or {})},
        )

    async def booking(self, who: Account, booking_id: str) -> dict[str, Any]:
        return done(await self.http.get(f"/booking/{booking_id}", headers=who.headers))

    def day(self, ahead: int = 7) -> date:
        """A date in Vienna, so many days from now."""
        return (self.now().astimezone(VIENNA) + timedelta(days=ahead)).date()

    def at(self, hour: int, minute: int = 0, *, ahead: int = 7) -> str:
        """A local time that many days ahead."""
        return f"{self.day(ahead)}T{hour:02}:{minute:02}"


WHEN = {"starts_at", "check_in", "check_out"}


def when_of(house: Account, now: datetime) -> dict[str, str]:
    """A usual time at the house, a week ahead."""
    day = now.astimezone(VIENNA).date() + timedelta(days=7)
    if house.body["kind"] == "hotel":
        return {"check_in": str(day), "check_out": str(day + timedelta(days=2))}
    return {"starts_at": f"{day}T19:00"}


def done(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    content: dict[str, Any] = response.json()
    return content


def refused(response: httpx.Response, status: int, code: str, path: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = response.json()
    assert (response.status_code, content.get("code")) == (status, code), response.text
    assert response.headers["content-type"] == PROBLEM
    assert content["status"] == status
    assert content["detail"]
    assert ("retry-after" in response.headers) == (status in {429, 503})
    if path is not None:
        assert path in [error["path"] for error in content["errors"]], content
    return content


def unique_email() -> str:
    return f"somebody-{next(_numbers)}-{uuid4().hex[:8]}@example.org"


def instant(text: str) -> datetime:
    """An instant of an answer, which always ends in Z."""
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text).astimezone(UTC)


def restaurant(**given: Any) -> dict[str, Any]:
    """A small restaurant in Vienna, open every day: lunch 12:00 to 14:00, dinner 18:00 to 22:00, every 30 minutes."""
    return {
        "email": unique_email(),
        "password": PASSWORD,
        "kind": "restaurant",
        "name": "Zum Test",
        "city": "Vienna",
        "location": {"lat": 48.2, "lon": 16.37},
        "time_zone": "Europe/Vienna",
        "currency": "EUR",
        "cuisines": ["austrian"],
        "seats": [
            {"name": "T1", "seat_type": "table", "capacity_min": 1, "capacity_max": 2},
            {"name": "T2", "seat_type": "table", "capacity_min": 1, "capacity_max": 4},
        ],
        "services": [
            {"days": list(DAYS), "first": "12:00", "last": "14:00", "every_minutes": 30},
            {"days": list(DAYS), "first": "18:00", "last": "22:00", "every_minutes": 30},
        ],
        "turn_minutes": [{"party_max": 2, "minutes": 90}, {"party_max": 8, "minutes": 120}],
        **given,
    }


def hotel(**given: Any) -> dict[str, Any]:
    """A small hotel in Vienna: three doubles and a suite."""
    return {
        "email": unique_email(),
        "password": PASSWORD,
        "kind": "hotel",
        "name": "Hotel Test",
        "city": "Vienna",
        "location": {"lat": 48.2, "lon": 16.37},
        "time_zone": "Europe/Vienna",
        "currency": "EUR",
        "amenities": ["sauna"],
        "seats": [
            {
                "name": "Double",
                "seat_type": "double",
                "capacity_min": 1,
                "capacity_max": 2,
                "quantity": 3,
                "price": {"amount_minor": 12_000, "currency": "EUR"},
            },
            {
                "name": "Suite",
                "seat_type": "suite",
                "capacity_min": 1,
                "capacity_max": 4,
                "price": {"amount_minor": 30_000, "currency": "EUR"},
            },
        ],
        **given,
    }


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
