"""A crowd of guests that book with a deposit and go through the sandbox's checkout, each in its own way."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.system.guests_and_houses import Account, guest, restaurant, soon
from tests.system.running import Running

DEPOSIT_MINOR = 1000
"""For each person; every party is of two."""

HOLD_SECONDS = 60
AT_ONCE = 24
TRIES_MAX = 60
SITTINGS = ("12:00", "13:30", "15:00", "16:30", "18:00", "19:30", "21:00")
TABLES = 25
CURRENCIES = ("EUR", "JPY", "KWD")

AGAIN = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Way:
    """How a guest pays: the choice on the page, what happens to the provider's message, and what comes after it."""

    name: str
    choice: str = "pay"
    webhook: str = "now"
    then: str = ""


WAYS: Sequence[tuple[int, Way]] = (
    (52, Way("pays")),
    (5, Way("pays, message lost", webhook="lost")),
    (5, Way("pays, message doubled", webhook="doubled")),
    (10, Way("pays, message late", webhook="late")),
    (4, Way("pays twice", choice="pay_twice")),
    (4, Way("declined, then pays", choice="decline", then="pay")),
    (3, Way("declined, and leaves", choice="decline")),
    (3, Way("walks away", choice="")),
    (6, Way("pays, then cancels in time", then="CANCELLED")),
    (4, Way("pays, came, no bill", then="AVAILED")),
    (4, Way("pays, came, bill above", then="AVAILED 5000")),
)
"""Each with its share in percent."""


@dataclass(slots=True)
class Evening:
    """What the guests were told. `unanswered` are requests that got no answer at all and were sent again."""

    bookings: dict[str, Way] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0


class PayingGuests:
    def __init__(self, cluster: Running, bookings: int, seed: int) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._number = bookings
        self.evening = Evening()
        self.a_third = asyncio.Event()
        with cluster.client() as client:
            self._guests = [guest(client) for _ in range(8)]
            houses = 1 + bookings // (TABLES * len(SITTINGS) * 4)
            self._houses = [self._house(client, CURRENCIES[n % 3]) for n in range(max(houses, 3))]

    def _house(self, client: httpx.Client, currency: str) -> Account:
        policy = {
            "hold_ttl_seconds": HOLD_SECONDS,
            "deposit": {"kind": "per_person", "amount_minor": DEPOSIT_MINOR},
            "cancel_before_hours": 2,
            "keep_on_late_cancel_percent": 50,
        }
        return restaurant(client, tables=TABLES, currency=currency, policy=policy)

    async def play(self) -> Evening:
        turns = asyncio.Semaphore(AT_ONCE)
        limits = httpx.Limits(max_connections=2 * AT_ONCE)
        async with httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as client:

            async def turn(number: int, way: Way) -> None:
                async with turns:
                    await self._one(client, number, way)

            ways = self._chance.choices([way for _, way in WAYS], [share for share, _ in WAYS], k=self._number)
            async with asyncio.TaskGroup() as group:
                for number, way in enumerate(ways):
                    group.create_task(turn(number, way))
        return self.evening

    async def _one(self, client: httpx.AsyncClient, number: int, way: Way) -> None:
        house = self._houses[number % len(self._houses)]
        who = self._guests[number % len(self._guests)]
        of_house = number // len(self._houses)
        day = soon() + timedelta(days=of_house // (TABLES * len(SITTINGS)))
        at = SITTINGS[of_house % len(SITTINGS)]
        base = self._cluster.express if number % 2 else self._cluster.gateway
        body = {"party_size": 2, "starts_at": f"{day.isoformat()}T{at}"}
        booked = await self._send(client, "POST", f"{base}/booking/vendor/{house.account_id}", who, body=body)
        assert booked.status_code == 201, booked.text
        booking = booked.json()
        self.evening.bookings[booking["booking_id"]] = way
        if len(self.evening.bookings) >= self._number // 3:
            self.a_third.set()
        if not way.choice:
            return
        await self._pay(client, who, base, booking, way)
        path = f"{base}/booking/{booking['booking_id']}"
        status, _, bill = way.then.partition(" ")
        if status in ("CANCELLED", "AVAILED"):
            await self._until_confirmed(client, who, path)
            change: dict[str, Any] = {"status": status}
            if bill:
                change["bill"] = {"amount_minor": int(bill), "currency": booking["payment"]["amount"]["currency"]}
            changed = await self._send(
                client, "PUT", f"{path}/status", who if status == "CANCELLED" else house, body=change
            )
            assert changed.status_code == 200, changed.text

    async def _pay(self, client: httpx.AsyncClient, who: Account, base: str, booking: dict[str, Any], way: Way) -> None:
        """A crash may have left the answer without a checkout; the sweeper sees to that, so the guest looks again."""
        payment = booking["payment"]
        path = f"{base}/booking/{booking['booking_id']}"
        for _ in range(TRIES_MAX):
            if payment["checkout_url"] is not None:
                break
            await asyncio.sleep(0.5)
            payment = (await self._send(client, "GET", path, who)).json()["payment"]
        page = f"{self._cluster.gateway}{httpx.URL(payment['checkout_url']).path}"
        for choice in filter(None, (way.choice, "pay" if way.then == "pay" else "")):
            await self._send(client, "POST", page, who, form={"choice": choice, "webhook": way.webhook})

    async def _until_confirmed(self, client: httpx.AsyncClient, who: Account, path: str) -> None:
        for _ in range(TRIES_MAX):
            seen = await self._send(client, "GET", f"{path}/status", who, headers={"Prefer": "wait=5"})
            if seen.status_code == 200 and seen.json()["status"] == "CONFIRMED":
                return
        raise AssertionError(f"{path} was paid and stays as it is: {seen.text}")

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        who: Account,
        *,
        body: dict[str, Any] | None = None,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Until there is an answer that is none of "come again": what was killed comes back."""
        keyed = {"Idempotency-Key": uuid4().hex} if body is not None else {}
        for _ in range(TRIES_MAX):
            try:
                answer = await client.request(
                    method,
                    url,
                    json=body,
                    data=form,
                    headers=(who.headers if form is None else {}) | keyed | (headers or {}),
                )
            except httpx.TransportError:
                self.evening.unanswered += 1
            else:
                self.evening.statuses[str(answer.status_code)] += 1
                if answer.status_code not in AGAIN and not (form is not None and answer.status_code >= 500):
                    return answer
            await asyncio.sleep(0.25)
        raise AssertionError(f"{method} {url} got no answer")
