"""A payment that was left alone and is stirred again: the provider is asked as if for the first time."""

import pytest

from tests.consumers.paying import DEPOSIT, HOLD_SECONDS, Paying


@pytest.fixture
async def paying():
    return Paying()


async def test_what_was_paid_twice_after_the_last_look_is_found_by_the_next(paying):
    """Nobody told of it. What was asked before the payment was left alone says nothing of what came since."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.wait(2 * HOLD_SECONDS)
    assert paying.row(held).look_at is None
    await paying.pay(held, told=False)
    await paying.mark(held, "AVAILED")
    await paying.work()
    assert paying.provider.refunded_minor() == 2 * DEPOSIT
    paying.money_is_where_it_belongs()


async def test_of_payments_that_are_left_alone_nothing_is_kept_in_memory(paying):
    for _ in range(3):
        held = await paying.hold()
        await paying.pay(held)
    await paying.wait(2 * HOLD_SECONDS)
    assert {row.look_at for row in paying.store.rows.values()} == {None}
    assert paying.looks._answered == {}
