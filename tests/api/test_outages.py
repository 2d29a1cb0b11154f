"""What clients are told while something is away: a clear 503 that says when to come back, and nothing written."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
from limits.aio.storage import MemoryStorage
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.outcome import Trouble, Unavailable
from domain.command import Role
from domain.ids import vendor_id_from
from serve_app.auth import Tokens
from serve_app.passwords import Passwords
from serve_app.rate_limits import RateLimitPolicy, RateLimits
from storage.accounts import Accounts
from storage.cache import VersionedCache
from storage.postgres import Database
from storage.postgres_archive import PostgresArchive
from tests.api.driving import refused, restaurant, unique_email
from tests.api.in_process import KEYS, gateway_of

THING = vendor_id_from(0x123 << 116)
HOLD = {"party_size": 2, "starts_at": "2030-01-02T19:00"}


def now() -> datetime:
    return datetime.now(UTC)


class Shards:
    """Shards that answer everything with one kind of trouble."""

    def __init__(self, trouble: Trouble) -> None:
        self.answer = Unavailable(trouble, "For a reason.", retry_after_seconds=4)

    async def ask(self, command):
        return self.answer

    async def booking(self, booking_id):
        return self.answer

    async def availability(self, vendor_id, query):
        return self.answer

    async def settled(self, booking, wait_seconds):
        return booking


class Anybody(Accounts):
    """Accounts of a database that only knows that every token is good."""

    async def tokens_valid_from(self, role, account_id):
        return datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def away(unused_tcp_port: int):
    """A database that nobody serves."""
    database = Database(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none", "outage", connections_max=1)
    yield database
    await database.close()


@pytest.fixture
async def away_cache(unused_tcp_port_factory: Callable[[], int]):
    """A Valkey that nobody serves."""
    redis = Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port_factory()}/0", retry=Retry(NoBackoff(), 0))
    cache = VersionedCache(redis)
    yield cache
    await cache.close()
    await redis.aclose()


@pytest.fixture
def client_of(away: Database, away_cache: VersionedCache):
    passwords = Passwords(threads=1, waiting_max=1)

    def make(shards: Shards, accounts: Accounts, policy: RateLimitPolicy | None = None) -> httpx.AsyncClient:
        tokens = Tokens(KEYS, accounts, now)
        limits = RateLimits(MemoryStorage(), policy or RateLimitPolicy(), lambda _name: None)
        archive = PostgresArchive(away)
        app = gateway_of(shards, away, away_cache, archive, accounts, tokens, passwords, limits, now)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    yield make
    passwords.close()


def token(role: Role, account_id: UUID) -> dict[str, str]:
    return {"Authorization": f"Bearer {Tokens(KEYS, Anybody(None), now).issue(role, account_id)}"}


ROUTES: list[tuple[str, str, dict[str, object] | None, Role]] = [
    ("POST", f"/booking/vendor/{THING}", HOLD, Role.USER),
    ("GET", f"/booking/{THING}", None, Role.USER),
    ("GET", f"/booking/{THING}/status", None, Role.USER),
    ("PUT", f"/booking/{THING}", {"notes": "x"}, Role.USER),
    ("PUT", f"/booking/{THING}/status", {"status": "CANCELLED"}, Role.USER),
    ("GET", f"/vendor/{THING}/availability?from=2030-01-01&to=2030-01-01", None, Role.USER),
    ("POST", "/vendor/create", restaurant(), Role.USER),
]


@pytest.mark.parametrize("trouble", list(Trouble))
@pytest.mark.parametrize(("method", "path", "body", "role"), ROUTES)
async def test_a_shard_in_trouble_is_a_503(
    client_of: Callable[..., httpx.AsyncClient], away, trouble, method, path, body, role
):
    async with client_of(Shards(trouble), Anybody(away)) as http:
        response = await http.request(method, path, json=body, headers=token(role, uuid4()))
    assert refused(response, 503, trouble.value)["transient"] is True
    assert response.headers["retry-after"] == "4"


class LateWriter(Shards):
    """Carries out a vendor's change, and cannot say so."""

    def __init__(self, shard) -> None:
        super().__init__(Trouble.OUTCOME_UNKNOWN)
        self._shard = shard

    async def ask(self, command):
        await self._shard.ask(command)
        return self.answer


async def test_who_looks_after_an_unknown_outcome_sees_the_truth(api, server, backends):
    if server is None:
        pytest.skip("a running server's shard cannot be made to lose its answer")
    house = await api.restaurant()
    assert (await api.http.get(f"/vendor/{house.id}")).json()["name"] != "New"
    redis = Redis.from_url(backends[1].url)
    cache = VersionedCache(redis)
    app = gateway_of(
        LateWriter(server.shard),
        server.database,
        cache,
        server.archive,
        Accounts(server.database),
        server.tokens,
        Passwords(),
        RateLimits(MemoryStorage(), RateLimitPolicy(), lambda _name: None),
        now,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        unknown = await http.put(f"/vendor/{house.id}", json={"name": "New"}, headers=house.headers)
    refused(unknown, 503, "outcome_unknown")
    seen = await api.http.get(f"/vendor/{house.id}")
    assert (seen.json()["name"], seen.headers["etag"]) == ("New", '"2"')
    await cache.close()
    await redis.aclose()


async def test_an_item_of_a_bulk_tells_of_the_trouble(client_of, away):
    body = {"bookings": [{"vendor_id": str(THING), **HOLD}]}
    async with client_of(Shards(Trouble.SHARD_MOVING), Anybody(away)) as http:
        response = await http.post("/booking/bulk", json=body, headers=token(Role.USER, uuid4()))
    item = response.json()["items"][0]
    assert (response.status_code, item["status"], item["problem"]["code"]) == (207, 503, "shard_moving")


@pytest.mark.parametrize(
    ("method", "path", "body", "role"),
    [
        *ROUTES[:-1],
        ("GET", f"/user/{uuid4()}", None, Role.USER),
        ("GET", f"/bookings/user/{uuid4()}", None, Role.OPERATOR),
        ("GET", f"/bookings/vendor/{THING}", None, Role.OPERATOR),
        ("GET", f"/vendor/{THING}", None, None),
        ("POST", "/user/create", {"email": unique_email(), "password": "correct horse", "name": "A"}, None),
        ("POST", "/user/login", {"email": "a@x.org", "password": "correct horse"}, None),
        ("POST", "/vendor/login", {"email": "a@x.org", "password": "correct horse"}, None),
        ("POST", "/operator/verify", None, Role.OPERATOR),
    ],
)
async def test_a_database_away_is_a_503(client_of, away, method, path, body, role):
    headers = {} if role is None else token(role, uuid4())
    async with client_of(Shards(Trouble.OVERLOADED), Accounts(away)) as http:
        refused(await http.request(method, path, json=body, headers=headers), 503, "dependency_unavailable")


async def test_too_many_passwords_at_once_are_overloaded(client_of, away):
    class Slow(Anybody):
        async def user_login_by_email(self, email):
            return None

    body = {"email": "a@x.org", "password": "correct horse"}
    async with client_of(Shards(Trouble.OVERLOADED), Slow(away)) as http:
        answers = await asyncio.gather(*(http.post("/user/login", json=body) for _ in range(5)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {401, 503}
    refused(answers[statuses.index(503)], 503, "overloaded")


async def test_too_many_accounts_of_one_address_are_refused(client_of, away):
    class Taking(Anybody):
        async def create_user(self, user, password_hash):
            return None

    policy = RateLimitPolicy(accounts_per_address_per_hour=2)
    async with client_of(Shards(Trouble.OVERLOADED), Taking(away), policy) as http:

        async def create(address: str, **given) -> httpx.Response:
            body = {"email": unique_email(), "password": "correct horse", "name": "A", **given}
            return await http.post("/user/create", json=body, headers={"X-Forwarded-For": f"spoofed, {address}"})

        for _ in range(3):
            refused(await create("192.0.2.1", name=""), 422, "invalid_request")
        assert [(await create("192.0.2.1")).status_code for _ in range(2)] == [201, 201]
        refused(await create("192.0.2.1"), 429, "rate_limited")
        refused(
            await http.post("/vendor/create", json=restaurant(), headers={"X-Forwarded-For": "192.0.2.1"}),
            429,
            "rate_limited",
        )
        nonsense = restaurant(time_zone="Mars/Olympus")
        refused(
            await http.post("/vendor/create", json=nonsense, headers={"X-Forwarded-For": "192.0.2.1"}),
            422,
            "invalid_request",
        )
        assert (await create("192.0.2.2")).status_code == 201
