import pytest
from limits.aio.storage import MemoryStorage
from limits.errors import StorageError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.command import Role
from serve_app import rate_limits
from serve_app.rate_limits import RateLimitPolicy, RateLimits, redis_storage

POLICY = RateLimitPolicy(login_failures_per_account=3, login_failures_per_address=5, accounts_per_address_per_hour=4)


class Tally:
    def __init__(self):
        self.names = []

    def __call__(self, name):
        self.names.append(name)


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def limits(tally):
    return RateLimits(MemoryStorage(), POLICY, tally)


async def fail(limits, times, *, email="ada@x.org", address="192.0.2.1"):
    for _ in range(times):
        await limits.login_failed(Role.USER, email, address)


async def test_an_account_is_shut_after_so_many_failures(limits):
    await fail(limits, 2)
    assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is None
    await fail(limits, 1)
    wait = await limits.login_wait(Role.USER, "ada@x.org", "198.51.100.9")
    assert 800 < wait <= 900


async def test_another_account_role_and_address_are_not_touched(limits):
    await fail(limits, 3)
    assert await limits.login_wait(Role.USER, "bob@x.org", "192.0.2.1") is None
    assert await limits.login_wait(Role.VENDOR, "ada@x.org", "192.0.2.1") is None


async def test_an_address_is_shut_after_so_many_failures_on_any_accounts(limits):
    for number in range(5):
        await fail(limits, 1, email=f"{number}@x.org")
    assert await limits.login_wait(Role.USER, "new@x.org", "192.0.2.1") is not None
    assert await limits.login_wait(Role.USER, "new@x.org", "192.0.2.2") is None


async def test_tries_that_succeed_are_not_counted(limits):
    for _ in range(50):
        assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is None


async def test_new_accounts_are_counted_by_address(limits):
    assert [await limits.account_wait("192.0.2.1") for _ in range(4)] == [None] * 4
    assert 3500 < await limits.account_wait("192.0.2.1") <= 3600
    assert await limits.account_wait("192.0.2.2") is None


class Away(MemoryStorage):
    """A store that answers until it is pulled out."""

    away = False

    async def acquire_entry(self, key, limit, expiry, amount=1):
        if self.away:
            raise StorageError(OSError("away"))
        return await super().acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key, limit, expiry):
        if self.away:
            raise StorageError(OSError("away"))
        return await super().get_moving_window(key, limit, expiry)


async def test_without_its_store_accounts_are_open_and_counted_by_a_metric(tally):
    storage = Away()
    limits = RateLimits(storage, POLICY, tally)
    storage.away = True
    assert [await limits.account_wait("192.0.2.1") for _ in range(9)] == [None] * 9
    assert set(tally.names) == {"rate_limit_open"}
    assert len(tally.names) == 9


async def test_without_its_store_the_process_limits_logins_and_knows_what_was_before(tally):
    storage = Away()
    limits = RateLimits(storage, POLICY, tally)
    await fail(limits, 2)
    storage.away = True
    assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is None
    await fail(limits, 1)
    assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is not None


async def test_a_store_that_comes_back_is_used_again(tally, monkeypatch):
    storage = Away()
    limits = RateLimits(storage, POLICY, tally)
    now = 1000.0
    monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now)
    storage.away = True
    await limits.account_wait("192.0.2.1")
    storage.away = False
    now += 2
    assert [await limits.account_wait("192.0.2.1") for _ in range(4)] == [None] * 4
    assert await limits.account_wait("192.0.2.1") is not None


async def test_a_redis_that_is_not_there_does_not_hold_a_login_up(tally, unused_tcp_port):
    redis = Redis(port=unused_tcp_port, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0))
    limits = RateLimits(redis_storage(redis), POLICY, tally)
    assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is None
    await fail(limits, 3)
    assert await limits.login_wait(Role.USER, "ada@x.org", "192.0.2.1") is not None
    assert "rate_limit_open" in tally.names
    await redis.aclose()


async def test_on_a_real_redis(tally, valkey_server):
    redis = Redis.from_url(valkey_server.url)
    one, other = (RateLimits(redis_storage(redis), POLICY, tally) for _ in range(2))
    await fail(one, 2, email="real@x.org", address="203.0.113.7")
    await fail(other, 1, email="real@x.org", address="203.0.113.7")
    assert 800 < await one.login_wait(Role.USER, "real@x.org", "203.0.113.7") <= 900
    assert await one.login_wait(Role.USER, "other@x.org", "203.0.113.7") is None
    assert not [key async for key in redis.scan_iter() if b"x.org" in key]
    assert [await other.account_wait("203.0.113.7") for _ in range(4)] == [None] * 4
    assert 3500 < await one.account_wait("203.0.113.7") <= 3600
    assert tally.names == []
    await redis.aclose()
