"""People for locust: guests who sign up, look around, book, look again, and sometimes change their minds.

With Holdfast up: `.venv/bin/locust -f bench/locustfile.py --host http://127.0.0.1:8000`, then open the page that it
names; or add `--headless -u 50 -r 5 -t 60s`. The first process opens the restaurants that everybody then books.
"""

import random
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import requests
from locust import HttpUser, between, events, task
from locust.env import Environment

from bench.workload import PASSWORD, user_body, vendor_body

RESTAURANTS = 20
_EXPECTED_NOES = (409, 412, 429)
_vendors: list[str] = []


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def open_restaurants(environment: Environment, **_: object) -> None:
    """A few restaurants of twenty tables each, with an e-mail address of this run's own."""
    if _vendors:
        return
    run = secrets.token_hex(4)
    for number in range(RESTAURANTS):
        body: Any = {**vendor_body(number), "email": f"{run}-{number}@vendors.example.com"}
        answer = requests.post(f"{environment.host}/vendor/create", json=body, timeout=30)
        answer.raise_for_status()
        _vendors.append(answer.json()["vendor_id"])


class Guest(HttpUser):
    """One person with an account. A refusal that the contract expects is no failure."""

    wait_time = between(0.5, 3.0)
    party_sizes: ClassVar[list[int]] = [1, 2, 2, 2, 3, 4, 4, 6]

    def on_start(self) -> None:
        """Sign up and log in."""
        email = f"{secrets.token_hex(8)}@guests.example.com"
        self.bookings: list[str] = []
        signed_up = self.client.post("/user/create", json={**user_body(0), "email": email})
        self.user_id = signed_up.json()["user_id"]
        login = self.client.post("/user/login", json={"email": email, "password": PASSWORD})
        self.client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

    @task(6)
    def look_and_book(self) -> None:
        """See what is free on a day, and take one of the times."""
        vendor = random.choice(_vendors)
        day = (datetime.now(UTC).date() + timedelta(days=random.randint(1, 30))).isoformat()
        party_size = random.choice(self.party_sizes)
        query = {"from": day, "to": day, "party_size": party_size}
        free = self.client.get(f"/vendor/{vendor}/availability", params=query, name="/vendor/:id/availability").json()
        times = [row["starts_at"] for row in free["items"] if row["free"]]
        if not times:
            return
        booking = self._try(
            "POST",
            f"/booking/vendor/{vendor}",
            "/booking/vendor/:id",
            {"party_size": party_size, "starts_at": random.choice(times)},
        )
        if booking is not None:
            self.bookings.append(booking["booking_id"])

    @task(4)
    def look_at_a_booking(self) -> None:
        """As people do who cannot wait."""
        if self.bookings:
            self.client.get(f"/booking/{random.choice(self.bookings)}", name="/booking/:id")

    @task(2)
    def list_my_bookings(self) -> None:
        """All that lie ahead."""
        self.client.get(f"/bookings/user/{self.user_id}", name="/bookings/user/:id")

    @task(1)
    def bring_one_more(self) -> None:
        """Amend a booking."""
        if self.bookings:
            self._try("PUT", f"/booking/{random.choice(self.bookings)}", "/booking/:id (amend)", {"party_size": 2})

    @task(1)
    def cancel(self) -> None:
        """Give a booking back."""
        if self.bookings:
            booking_id = self.bookings.pop(random.randrange(len(self.bookings)))
            self._try("PUT", f"/booking/{booking_id}/status", "/booking/:id/status (cancel)", {"status": "CANCELLED"})

    def _try(self, method: str, path: str, name: str, body: dict[str, object]) -> dict[str, Any] | None:
        """The answer's body, or None where the house said an expected no."""
        key = {"Idempotency-Key": secrets.token_hex(16)}
        with self.client.request(method, path, name=name, json=body, headers=key, catch_response=True) as answer:
            if answer.status_code in _EXPECTED_NOES:
                answer.success()
                return None
            if answer.status_code >= 400:
                answer.failure(f"{answer.status_code}: {answer.text}")
                return None
            made: dict[str, Any] = answer.json()
            return made
