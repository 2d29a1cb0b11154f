"""`holdfast demo`: opens the houses of a made-up world and plays their evening through the HTTP API.

The visits of one house follow each other and houses run side by side, so the same seed gives the same evening, however
fast the machine is.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from holdfast.demo_api import CREATED, PAYMENT_DECLINED, DemoApi, DemoError, Reply, Tally
from holdfast.demo_report import print_evening
from holdfast.demo_world import PASSWORD, DemoSize, House, Plan, Visit, World, make_world
from holdfast.settings import Settings

__all__ = ["DemoError", "DemoSize", "play"]

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_AT_ONCE: Final = 24
_EXPIRY_WAIT_SECONDS: Final = 30
_EXPIRY_ASKS_MAX: Final = 30
_NEXT_TRY_KNOWN_SECONDS: Final = 0.2
"""A payment is declined until the provider has told of the next try, and whoever asks until then is answered at once."""


@dataclass(frozen=True, slots=True)
class Guest:
    user_id: str
    token: str


@dataclass(slots=True)
class Evening:
    """What was made, and what is still to be seen: `waiting` are bookings that nobody will confirm, with their guest."""

    run: str
    vendors: dict[int, tuple[str, str]] = field(default_factory=dict)
    guests: dict[int, Guest] = field(default_factory=dict)
    waiting: list[tuple[str, int]] = field(default_factory=list)


async def play(settings: Settings, size: DemoSize, seed: int, console: Console) -> None:
    """Raises DemoError, or httpx.HTTPError when nobody answers."""
    world = make_world(size, seed, datetime.now(UTC).date())
    console.print(
        f"{len(world.houses)} vendors in {world.cities} cities of {world.zones} time zones, "
        f"{len(world.guests)} guests, {sum(len(house.visits) for house in world.houses):,} bookings to try",
        highlight=False,
    )
    tally = Tally()
    api = DemoApi(settings, tally)
    try:
        with _progress(console) as progress:
            player = Player(api, world, Evening(secrets.token_hex(4)), progress)
            await player.open_doors()
            await player.play_visits()
            await player.see_expiries()
            statuses = await player.ask_everybody()
    finally:
        await api.close()
    print_evening(console, tally, statuses)


class Player:
    """Acts out a world. `evening.run` makes every e-mail address and key new, so the demo can be played again."""

    def __init__(self, api: DemoApi, world: World, evening: Evening, progress: Progress) -> None:
        self._api = api
        self._world = world
        self._evening = evening
        self._progress = progress
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def open_doors(self) -> None:
        houses, guests = enumerate(self._world.houses), enumerate(self._world.guests)
        await self._all("opening vendors", [partial(self._open, *numbered) for numbered in houses])
        await self._all("inviting guests", [partial(self._invite, *numbered) for numbered in guests])

    async def play_visits(self) -> None:
        visits = sum(len(house.visits) for house in self._world.houses)
        houses = [(number, house) for number, house in enumerate(self._world.houses) if house.visits]
        with self._bar("playing the evening", visits) as step:
            await self._run([partial(self._visits, *numbered, step) for numbered in houses])

    async def see_expiries(self) -> None:
        waiting = [partial(self._expired, *held) for held in self._evening.waiting]
        await self._all("waiting for unpaid holds to expire", waiting)

    async def ask_everybody(self) -> Counter[str]:
        """Every guest's list, as they see it: how many bookings stand in which status."""
        statuses: Counter[str] = Counter()
        guests = self._evening.guests.values()
        await self._all("asking every guest", [partial(self._list, guest, statuses) for guest in guests])
        return statuses

    async def _open(self, number: int, house: House) -> None:
        email = f"house-{number}-{self._evening.run}@demo.example.com"
        body = {**house.vendor, "email": email, "password": PASSWORD}
        self._evening.vendors[number] = await self._api.account("vendor", body)

    async def _invite(self, number: int, guest: dict[str, Any]) -> None:
        email = f"guest-{number}-{self._evening.run}@demo.example.com"
        account = await self._api.account("user", {**guest, "email": email, "password": PASSWORD})
        self._evening.guests[number] = Guest(*account)

    async def _visits(self, house_number: int, house: House, step: Callable[[], None]) -> None:
        for number, visit in enumerate(house.visits):
            await self._visit(house_number, house, visit, f"{house_number}-{number}-{self._evening.run}")
            step()

    async def _visit(self, house_number: int, house: House, visit: Visit, key: str) -> None:
        vendor_id, vendor_token = self._evening.vendors[house_number]
        token = self._evening.guests[visit.guest].token
        express = visit.guest % 2 == 1
        booked = await self._book(vendor_id, visit, token, key, express=express)
        if booked.status != CREATED:
            return
        path = f"/booking/{booked.content['booking_id']}"
        if booked.content["status"] == "BLOCKED":
            if visit.plan is Plan.LET_EXPIRE:
                if house.vendor["policy"]["hold_ttl_seconds"] < _EXPIRY_WAIT_SECONDS:
                    self._evening.waiting.append((booked.content["booking_id"], visit.guest))
                return
            if booked.content["payment"] is None:
                await self._set(path, "CONFIRMED", vendor_token, f"c{key}", express=express)
            elif not await self._pay(path, booked.content["payment"], token, hesitates=visit.hesitates):
                return
        if visit.plan is Plan.CANCEL:
            await self._set(path, "CANCELLED", token, f"x{key}", express=express)
        elif visit.plan is Plan.ARRIVE:
            await self._set(path, "AVAILED", vendor_token, f"v{key}", express=express)
        elif visit.plan is Plan.AMEND:
            body = visit.amendment
            await self._api.send("amend", "PUT", path, token=token, key=f"a{key}", body=body, express=express)

    async def _book(self, vendor_id: str, visit: Visit, token: str, key: str, *, express: bool) -> Reply:
        path = f"/booking/vendor/{vendor_id}"
        booked = await self._api.send("book", "POST", path, token=token, key=key, body=visit.body, express=express)
        if booked.status == CREATED and visit.twice:
            again = await self._api.send("book again, same key", "POST", path, token=token, key=key, body=visit.body)
            if again.content.get("booking_id") != booked.content["booking_id"]:
                raise DemoError(f"a repeated request made another booking than {booked.content['booking_id']}")
        return booked

    async def _pay(self, path: str, payment: dict[str, Any], token: str, *, hesitates: bool) -> bool:
        """Go through the checkout page as a guest would, and wait until the booking knows; whether it came in time."""
        page = httpx.URL(payment["checkout_url"]).path
        for choice in ("decline", "pay") if hesitates else ("pay",):
            await self._api.send(f"{choice} at the checkout", "POST", page, form={"choice": choice})
        for _ in range(_EXPIRY_ASKS_MAX):
            reply = await self._api.send("wait for the payment", "GET", f"{path}/status", token=token, wait_seconds=10)
            if reply.status == PAYMENT_DECLINED:
                await asyncio.sleep(_NEXT_TRY_KNOWN_SECONDS)
            elif reply.content["status"] != "BLOCKED":
                return bool(reply.content["status"] == "CONFIRMED")
        raise DemoError(f"{path} was paid and does not become CONFIRMED")

    async def _set(self, path: str, status: str, token: str, key: str, *, express: bool) -> None:
        action = {"CONFIRMED": "confirm", "CANCELLED": "cancel", "AVAILED": "arrive"}[status]
        await self._api.send(
            action, "PUT", f"{path}/status", token=token, key=key, body={"status": status}, express=express
        )

    async def _expired(self, booking_id: str, guest: int) -> None:
        token = self._evening.guests[guest].token
        for _ in range(_EXPIRY_ASKS_MAX):
            reply = await self._api.send(
                "wait for the end of a hold",
                "GET",
                f"/booking/{booking_id}/status",
                token=token,
                wait_seconds=_EXPIRY_WAIT_SECONDS,
            )
            if reply.content.get("status") != "BLOCKED":
                return
        raise DemoError(f"the hold {booking_id} does not expire")

    async def _list(self, guest: Guest, statuses: Counter[str]) -> None:
        cursor = ""
        while True:
            reply = await self._api.send(
                "list a guest's bookings",
                "GET",
                f"/bookings/user/{guest.user_id}?when=all&limit=200{cursor}",
                token=guest.token,
            )
            statuses.update(item["status"] for item in reply.content["items"])
            if reply.content["next_cursor"] is None:
                return
            cursor = f"&cursor={reply.content['next_cursor']}"

    async def _all(self, what: str, jobs: Sequence[Job]) -> None:
        """Do them all under one progress bar."""
        with self._bar(what, len(jobs)) as step:

            async def stepping(job: Job) -> None:
                await job()
                step()

            await self._run([partial(stepping, job) for job in jobs])

    async def _run(self, jobs: Sequence[Job]) -> None:
        """So many at a time; the first that fails ends them all. Jobs are called, so none is left over half made."""

        async def turn(job: Job) -> None:
            async with self._turns:
                await job()

        try:
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(turn(job))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        task: TaskID = self._progress.add_task(what, total=total)
        yield lambda: self._progress.advance(task)
        self._progress.update(task, completed=total)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
