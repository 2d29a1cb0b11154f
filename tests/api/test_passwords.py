import asyncio

import pytest
from argon2 import PasswordHasher

from serve_app.passwords import Passwords, PasswordsBusy


@pytest.fixture(scope="module")
def passwords():
    desk = Passwords(threads=1, waiting_max=2)
    yield desk
    desk.close()


async def test_a_password_matches_its_own_hash_alone(passwords):
    held = await passwords.hash("correct horse")
    assert held.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.matches(held, "correct horse")
    assert not await passwords.matches(held, "correct horsf")
    assert not passwords.outdated(held)


async def test_nobodys_password_is_never_right(passwords):
    assert not await passwords.matches(None, "the password of an account that does not exist")


async def test_a_hash_that_is_none_matches_nothing(passwords):
    assert not await passwords.matches("plain", "plain")


def test_a_hash_of_other_parameters_is_outdated(passwords):
    assert passwords.outdated(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("x"))


async def test_more_than_the_pool_can_take_is_refused(passwords):
    under_way = [asyncio.ensure_future(passwords.hash("one")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusy):
        await passwords.hash("three")
    await asyncio.gather(*under_way)
    assert await passwords.hash("four")


async def test_the_loop_goes_on_while_a_password_is_hashed(passwords):
    hashing = asyncio.ensure_future(passwords.hash("x"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100
