"""One question for everybody who waits for a decline, and none while nobody does."""

import asyncio

import pytest

from domain.ids import booking_id_from
from serve_app.declines import Declines
from storage.errors import StoreUnavailable
from tests.fakes.houses import vendor_id

ONE, TWO, THREE = (booking_id_from(vendor_id(1), number) for number in (1, 2, 3))


class Store:
    """Answers each question when the test says so, with what it says."""

    def __init__(self):
        self.questions = asyncio.Queue()

    async def declined(self, booking_ids):
        answer = asyncio.get_running_loop().create_future()
        self.questions.put_nowait((set(booking_ids), answer))
        return await answer

    async def asked(self):
        async with asyncio.timeout(10):
            return await self.questions.get()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def declines(store):
    return Declines(store.declined, every_seconds=0)


def waiting(declines, *booking_ids):
    return [asyncio.ensure_future(declines.wait(booking_id)) for booking_id in booking_ids]


async def test_all_who_wait_are_one_question(store, declines):
    first, *others = waiting(declines, ONE, ONE, TWO)
    asked, answer = await store.asked()
    assert asked == {ONE, TWO}
    late = waiting(declines, THREE, ONE)
    answer.set_result(frozenset())
    asked, answer = await store.asked()
    assert asked == {ONE, TWO, THREE}
    assert store.questions.empty()
    answer.set_result(frozenset({ONE}))
    await asyncio.gather(first, others[0], late[1])
    asked, answer = await store.asked()
    assert asked == {TWO, THREE}
    answer.set_result(frozenset({TWO, THREE}))
    await asyncio.gather(others[1], late[0])


async def test_while_nobody_waits_nobody_is_asked(store, declines):
    (one,) = waiting(declines, ONE)
    _, answer = await store.asked()
    one.cancel()
    await asyncio.wait([one])
    answer.set_result(frozenset())
    poll = declines._task
    await poll
    assert store.questions.empty()
    (again,) = waiting(declines, TWO)
    asked, answer = await store.asked()
    assert asked == {TWO}
    answer.set_result(frozenset({TWO}))
    await again


async def test_who_leaves_takes_nobody_along(store, declines):
    leaving, staying = waiting(declines, ONE, ONE)
    _, answer = await store.asked()
    leaving.cancel()
    await asyncio.wait([leaving])
    answer.set_result(frozenset({ONE}))
    await staying
    assert leaving.cancelled()


async def test_a_store_that_is_away_is_asked_again(store, declines):
    (one,) = waiting(declines, ONE)
    _, answer = await store.asked()
    answer.set_exception(StoreUnavailable("away"))
    _, answer = await store.asked()
    answer.set_result(frozenset({ONE}))
    await one
