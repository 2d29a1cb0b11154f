"""Logging in: what is done on the way, but not for whom it is done, refuses nobody whose password is right."""

import logging
from uuid import UUID

import pytest
from limits.aio.storage import MemoryStorage

from domain.command import Role
from domain.user import Credentials
from serve_app.auth import Tokens
from serve_app.login import LoginBody, LoginDesk
from serve_app.passwords import Passwords, PasswordsBusy
from serve_app.rate_limits import RateLimitPolicy, RateLimits
from storage.errors import OutcomeUnknown, StoreUnavailable
from tests.api.in_process import KEYS, Clock

ADA = UUID(int=7)
PASSWORD = "correct horse"
BODY = LoginBody(email="ada@example.org", password=PASSWORD)
ADDRESS = "192.0.2.1"


class Accounts:
    """One account, with the hash that it was given last."""

    def __init__(self, password_hash):
        self.password_hash = password_hash
        self.error = None

    async def found(self, _email):
        return Credentials(ADA, self.password_hash)

    async def rehash(self, _role, _checked, password_hash):
        if self.error is not None:
            raise self.error
        self.password_hash = password_hash


class Crowded(Passwords):
    """There is room to check a password, and while it is `full` none to make another hash."""

    full = True

    async def hash(self, password):
        if self.full:
            raise PasswordsBusy
        return await super().hash(password)


@pytest.fixture
async def old_hash():
    made = Passwords(memory_kib=64, passes=1)
    yield await made.hash(PASSWORD)
    made.close()


@pytest.fixture
def passwords():
    made = Crowded(memory_kib=64, passes=2)
    yield made
    made.close()


def desk_of(accounts, passwords):
    limits = RateLimits(MemoryStorage(), RateLimitPolicy(), lambda _name: None)
    return LoginDesk(Role.USER, accounts.found, accounts, passwords, limits, Tokens(KEYS, accounts, Clock()))


async def test_a_hash_of_older_parameters_is_made_anew(old_hash, passwords):
    accounts = Accounts(old_hash)
    passwords.full = False
    assert await desk_of(accounts, passwords).login(BODY, ADDRESS) == ADA
    assert accounts.password_hash != old_hash
    assert not passwords.outdated(accounts.password_hash)


async def test_who_has_the_right_password_is_let_in_though_there_is_no_room_for_a_new_hash(old_hash, passwords, caplog):
    accounts = Accounts(old_hash)
    desk = desk_of(accounts, passwords)
    with caplog.at_level(logging.WARNING, "serve_app.login"):
        assert await desk.login(BODY, ADDRESS) == ADA
    assert accounts.password_hash == old_hash
    assert "PasswordsBusy" in caplog.text
    passwords.full = False
    assert await desk.login(BODY, ADDRESS) == ADA
    assert accounts.password_hash != old_hash


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("lost")])
async def test_who_has_the_right_password_is_let_in_though_the_new_hash_cannot_be_kept(
    old_hash, passwords, caplog, error
):
    accounts = Accounts(old_hash)
    accounts.error, passwords.full = error, False
    desk = desk_of(accounts, passwords)
    with caplog.at_level(logging.WARNING, "serve_app.login"):
        assert await desk.login(BODY, ADDRESS) == ADA
    [record] = caplog.records
    told = record.getMessage()
    assert str(ADA) in told
    for secret in (PASSWORD, old_hash, BODY.email, "argon2"):
        assert secret not in told
    accounts.error = None
    assert await desk.login(BODY, ADDRESS) == ADA
    assert accounts.password_hash != old_hash


async def test_a_wrong_password_has_no_new_hash_made(old_hash, passwords):
    accounts = Accounts(old_hash)
    passwords.full = False
    refusal = await desk_of(accounts, passwords).login(LoginBody(email=BODY.email, password="a guess"), ADDRESS)
    assert refusal.status == 401
    assert accounts.password_hash == old_hash
