"""What the system tests do as guests and managers, through plain HTTP."""

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

PASSWORD = "a long enough password"
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, slots=True)
class Account:
    account_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def soon() -> date:
    return datetime.now(UTC).date() + timedelta(days=7)


def _account(client: httpx.Client, role: str, body: dict[str, Any]) -> Account:
    login = {"email": f"{secrets.token_hex(6)}@example.com", "password": PASSWORD}
    made = client.post(f"/{role}/create", json=body | login)
    assert made.status_code == 201, made.text
    logged_in = client.post(f"/{role}/login", json=login)
    assert logged_in.status_code == 200, logged_in.text
    return Account(made.json()[f"{role}_id"], logged_in.json()["access_token"])


def guest(client: httpx.Client) -> Account:
    return _account(client, "user", {"name": "Ada Guest"})


def restaurant(client: httpx.Client, tables: int = 3, **more: Any) -> Account:
    body = {
        "kind": "restaurant",
        "name": "Chez Test",
        "city": "Paris",
        "location": {"lat": 48.85, "lon": 2.35},
        "time_zone": "Europe/Paris",
        "currency": "EUR",
        "seats": [
            {"name": "T", "seat_type": "table", "capacity_min": 1, "capacity_max": 4, "quantity": tables},
        ],
        "services": [{"days": EVERY_DAY, "first": "12:00", "last": "22:00", "every_minutes": 30}],
        "turn_minutes": [{"party_max": 4, "minutes": 90}],
    }
    return _account(client, "vendor", body | more)


def hotel(client: httpx.Client, rooms: int = 3) -> Account:
    body = {
        "kind": "hotel",
        "name": "Hotel Test",
        "city": "Tokyo",
        "location": {"lat": 35.68, "lon": 139.69},
        "time_zone": "Asia/Tokyo",
        "currency": "JPY",
        "seats": [
            {
                "name": "D",
                "seat_type": "double",
                "capacity_min": 1,
                "capacity_max": 2,
                "quantity": rooms,
                "price": {"amount_minor": 12000, "currency": "JPY"},
            }
        ],
    }
    return _account(client, "vendor", body)


def dinner(at: str = "19:30") -> dict[str, Any]:
    return {"party_size": 2, "starts_at": f"{soon().isoformat()}T{at}"}


def two_nights() -> dict[str, Any]:
    return {"party_size": 2, "check_in": soon().isoformat(), "check_out": (soon() + timedelta(days=2)).isoformat()}


def book(base: str, vendor: Account, who: Account, body: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(
        f"{base}/booking/vendor/{vendor.account_id}",
        json=body,
        headers=who.headers | headers,
        timeout=30,
        trust_env=False,
    )
