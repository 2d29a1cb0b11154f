"""What the services tell the cache: every write before its answer, and every write that nobody can be sure of."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
from limits.aio.storage import MemoryStorage

from actors.outcome import Done, Trouble, Unavailable, VendorDone
from domain.booking import BookingStatus
from domain.command import Role
from domain.ids import UserId
from domain.rejection import Reason, Rejection
from domain.user import User
from serve_app.auth import Tokens
from serve_app.booking import BookingDeps, booking_app
from serve_app.passwords import Passwords
from serve_app.rate_limits import RateLimitPolicy, RateLimits
from serve_app.user import UserDeps, user_app
from serve_app.vendor import VendorDeps, vendor_app
from storage.accounts import Accounts
from storage.errors import OutcomeUnknown, StoreUnavailable
from tests.api.driving import restaurant
from tests.api.in_process import KEYS
from tests.conformance.stores import booking, house
from tests.fakes.houses import guest, vendor_id

V = vendor_id(1)
HELD = booking(V, 1, status=BookingStatus.BLOCKED)
CONFIRMED = replace(HELD, status=BookingStatus.CONFIRMED, version=2)
URL = f"/booking/{HELD.booking_id}"
HOLD = {"party_size": 2, "starts_at": "2030-01-02T19:00"}
UNKNOWN = Unavailable(Trouble.OUTCOME_UNKNOWN, "Who knows.")


def now():
    return datetime(2026, 11, 23, 12, tzinfo=UTC)


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2020, 1, 1, tzinfo=UTC)


TOKENS = Tokens(KEYS, Validity(), now)
HEADERS = {"Authorization": f"Bearer {TOKENS.issue(Role.USER, UUID(int=guest(1).account_id.int))}"}
HOUSE_HEADERS = {"Authorization": f"Bearer {TOKENS.issue(Role.VENDOR, V)}"}
ADA = User(UserId(guest(1).account_id), 1, "ada@example.org", "Ada", now(), now())


class Client:
    """A shard that answers what it is told to."""

    def __init__(self):
        self.outcome = Done(HELD)
        self.newest = HELD
        self.read = 0

    async def ask(self, command):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        if self.outcome is None:
            await asyncio.Event().wait()
        return self.outcome

    async def booking(self, booking_id):
        self.read += 1
        return self.newest

    async def settled(self, _booking, _seconds):
        return self.newest


class Notes:
    def __init__(self):
        self.told = []
        self.eras = []
        self.kept = None
        self.slow = None
        self.era = b"before"
        self.filled_in = []

    async def note(self, booking, era=b"", *, replayed=False):
        if self.slow is not None:
            await self.slow.wait()
        self.told.append((booking, replayed))
        self.eras.append(era)

    async def doubt(self, booking_id):
        self.told.append(booking_id)

    async def known(self, booking_id):
        return self.kept

    async def fill(self, booking, era):
        self.kept = booking
        self.filled_in.append(era)


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
async def http(client, notes):
    app = booking_app(BookingDeps(client, TOKENS, lambda: 1, notes=notes, cached=notes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=HEADERS) as http:
        yield http


def bulk(http):
    return http.post("/booking/bulk", json={"bookings": [{"vendor_id": str(V), **HOLD}]})


def place(http):
    return http.post(f"/booking/vendor/{V}", json=HOLD)


def amend(http):
    return http.put(URL, json={"notes": "x"})


def cancel(http):
    return http.put(f"{URL}/status", json={"status": "CANCELLED"})


@pytest.mark.parametrize("write", [bulk, place, amend, cancel])
@pytest.mark.parametrize("replayed", [False, True])
async def test_a_write_is_noted_before_its_answer(http, client, notes, write, replayed):
    client.outcome = Done(HELD, replayed)
    notes.slow = asyncio.Event()
    answer = asyncio.ensure_future(write(http))
    done, _ = await asyncio.wait([answer], timeout=0.1)
    assert not done
    notes.slow.set()
    assert (await answer).is_success
    assert notes.told == [(HELD, replayed)]


@pytest.mark.parametrize("write", [bulk, place, amend, cancel])
async def test_a_refusal_is_not_noted(http, client, notes, write):
    client.outcome = Rejection(Reason.ILLEGAL_TRANSITION, "No.")
    await write(http)
    assert notes.told == []


@pytest.mark.parametrize("write", [amend, cancel])
@pytest.mark.parametrize("outcome", [UNKNOWN, RuntimeError("a bug")])
async def test_a_change_of_unknown_outcome_is_doubted(http, client, notes, write, outcome):
    client.outcome = outcome
    assert (await write(http)).status_code in {500, 503}
    assert notes.told == [HELD.booking_id]


@pytest.mark.parametrize("write", [amend, cancel])
async def test_who_had_an_old_version_is_not_shown_it_again(http, client, notes, write):
    client.outcome = Rejection(Reason.VERSION_CONFLICT, "It has changed.")
    assert (await write(http)).status_code == 412
    assert notes.told == [HELD.booking_id]


@pytest.mark.parametrize("write", [amend, cancel])
async def test_a_change_whose_client_left_is_doubted(http, client, notes, write):
    client.outcome = None
    answer = asyncio.ensure_future(write(http))
    await asyncio.wait([answer], timeout=0.1)
    answer.cancel()
    await asyncio.wait([answer])
    assert notes.told == [HELD.booking_id]


async def test_who_waited_noted_what_came_of_it(http, client, notes):
    client.newest = CONFIRMED
    response = await http.post(f"/booking/vendor/{V}", json=HOLD, headers={"Prefer": "wait=5"})
    assert response.json()["status"] == "CONFIRMED"
    assert notes.told == [(HELD, False), (CONFIRMED, False)]


async def test_single_reads_ask_the_cache_first_and_fill_it(http, client, notes):
    for path in (URL, f"{URL}/status", URL):
        assert (await http.get(path)).json()["status"] == "BLOCKED"
    assert (client.read, notes.kept) == (1, HELD)


async def test_what_is_read_is_filled_in_the_era_from_before_the_read(http, client, notes):
    async def read(_booking_id):
        notes.era = b"after"
        return HELD

    client.booking = read
    await http.get(URL)
    assert notes.filled_in == [b"before"]


@pytest.mark.parametrize("write", [amend, cancel])
async def test_a_change_is_noted_in_the_era_from_before_it(http, client, notes, write):
    async def ask(_command):
        notes.era = b"after"
        return Done(CONFIRMED)

    client.ask = ask
    assert (await write(http)).is_success
    assert notes.eras == [b"before"]


async def test_what_was_waited_for_is_noted_in_the_era_from_before_the_wait(http, client, notes):
    async def settled(_booking, _seconds):
        notes.era = b"after"
        return CONFIRMED

    client.settled = settled
    await http.get(f"{URL}/status", headers={"Prefer": "wait=5"})
    assert (notes.told, notes.eras) == ([(CONFIRMED, False)], [b"before"])


async def test_who_waits_asks_the_shard(http, client, notes):
    notes.kept, client.newest = HELD, CONFIRMED
    response = await http.get(f"{URL}/status", headers={"Prefer": "wait=5"})
    assert (response.json()["status"], notes.kept) == ("CONFIRMED", CONFIRMED)


async def test_what_the_cache_knows_is_not_for_everybody(http, notes):
    notes.kept = replace(HELD, user_id=guest(2).account_id)
    assert (await http.get(URL)).status_code == 404


class Reads:
    """Reads of vendors or of guests, whose cache begins an era with the next write."""

    def __init__(self, found):
        self.found = found
        self.era = b"before"
        self.noted = []

    def write(self):
        self.era = b"after"

    async def by_id(self, _id):
        return self.found

    async def note(self, written, era=b""):
        self.noted.append((written.version, era))


class Books(Accounts):
    """Accounts that begin an era with each write."""

    def __init__(self, users):
        super().__init__(None)
        self._users = users

    async def user_by_id(self, _user_id):
        return self._users.found

    async def create_user(self, _user, _password_hash):
        self._users.write()

    async def update_user(self, _user, **_more):
        self._users.write()

    async def vendor_email(self, _vendor_id):
        return "house@example.org"


@pytest.fixture
def passwords():
    made = Passwords(memory_kib=64, passes=1)
    yield made
    made.close()


def limits():
    return RateLimits(MemoryStorage(), RateLimitPolicy(), lambda _name: None)


@pytest.mark.parametrize("created", [True, False])
async def test_a_vendor_is_noted_in_the_era_from_before_its_write(client, passwords, created):
    vendors = Reads(house(V))

    async def ask(_command):
        vendors.write()
        return VendorDone(vendors.found)

    client.ask = ask
    deps = VendorDeps(client, Books(None), vendors, TOKENS, passwords, limits(), now, lambda: V.int)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(vendor_app(deps)), base_url="http://test") as http:
        if created:
            answer = await http.post("/vendor/create", json=restaurant())
        else:
            answer = await http.put(f"/vendor/{V}", json={"name": "New"}, headers=HOUSE_HEADERS)
    assert answer.is_success
    assert vendors.noted == [(1, b"before")]


@pytest.mark.parametrize("created", [True, False])
async def test_a_guest_is_noted_in_the_era_from_before_the_write(passwords, created):
    users = Reads(ADA)
    deps = UserDeps(Books(users), users, TOKENS, passwords, limits(), now, lambda: 1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(user_app(deps)), base_url="http://test") as http:
        if created:
            body = {"email": ADA.email, "password": "correct horse", "name": "Ada"}
            answer = await http.post("/user/create", json=body)
        else:
            answer = await http.put(f"/user/{ADA.user_id}", json={"name": "Countess"}, headers=HEADERS)
    assert answer.is_success
    assert users.noted == [(1 if created else 2, b"before")]


class Told(Reads):
    """Reads that keep whom they were told to doubt."""

    def __init__(self, found):
        super().__init__(found)
        self.doubted = []

    async def doubt(self, doubted):
        self.doubted.append(doubted)


class Written:
    """A write that is committed, and of which the answer never comes, or an error comes instead."""

    def __init__(self):
        self.committed = asyncio.Event()
        self.error = None

    async def __call__(self, *_asked, **_more):
        self.committed.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


def vendor_change(client, passwords, written):
    vendors = Told(house(V))
    client.ask = written
    deps = VendorDeps(client, Books(None), vendors, TOKENS, passwords, limits(), now, lambda: V.int)
    return vendor_app(deps), (f"/vendor/{V}", HOUSE_HEADERS), vendors


def user_change(_client, passwords, written):
    users = Told(ADA)
    accounts = Books(users)
    accounts.update_user = written
    deps = UserDeps(accounts, users, TOKENS, passwords, limits(), now, lambda: 1)
    return user_app(deps), (f"/user/{ADA.user_id}", HEADERS), users


@pytest.mark.parametrize("change", [vendor_change, user_change])
async def test_a_change_of_an_account_whose_client_left_before_it_was_noted_is_doubted(client, passwords, change):
    written = Written()
    app, (url, headers), told = change(client, passwords, written)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers) as http:
        answer = asyncio.ensure_future(http.put(url, json={"name": "New"}))
        await written.committed.wait()
        answer.cancel()
        await asyncio.wait([answer])
    assert answer.cancelled()
    assert [f"{one}" for one in told.doubted] == [url.rsplit("/", 1)[1]]
    assert told.noted == []


@pytest.mark.parametrize("change", [vendor_change, user_change])
@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("lost"), RuntimeError("a bug")])
async def test_a_change_of_an_account_that_failed_is_doubted(client, passwords, change, error):
    written = Written()
    written.error = error
    app, (url, headers), told = change(client, passwords, written)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers) as http:
        answer = await http.put(url, json={"name": "New"})
    assert answer.status_code in {500, 503}
    assert [f"{one}" for one in told.doubted] == [url.rsplit("/", 1)[1]]
    assert told.noted == []
