"""Messages of providers that meet others at the same payment: nothing that a provider said is lost by that."""

import pytest

from consumers.payment_messages import TRIES_MAX
from storage.errors import VersionConflict
from tests.consumers.paying import DEPOSIT, Paying


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
async def held(paying):
    return await paying.hold()


@pytest.fixture
def crowd(paying, monkeypatch):
    """Others, who change every payment between our reading and our writing, while there are any."""
    write, others = paying.store.write, {"there": True}

    async def overtaken(before, after, *, booking_version):
        if others["there"] and before is not None and after.captures:
            raise VersionConflict(f"payment {after.payment_id} is not as it was read")
        return await write(before, after, booking_version=booking_version)

    monkeypatch.setattr(paying.store, "write", overtaken)
    return others


async def test_a_message_whose_payment_others_change_all_the_time_is_tried_again(paying, held, crowd):
    [event_id] = await paying.pay(held)
    [message] = await paying.inbox.waiting(1)
    assert await paying.messages.take(message) is None
    letter = paying.inbox.letters[paying.provider.name, event_id]
    assert letter.handled_at is None
    assert "is not as it was read" in letter.error
    assert await paying.inbox.stuck(1) == []
    assert letter.try_at > paying.clock.now
    crowd["there"] = False
    paying.clock.now = letter.try_at
    await paying.work()
    assert letter.handled_at is not None
    assert paying.moved(held) == [("capture", DEPOSIT)]
    assert paying.status(held) == "CONFIRMED"


async def test_a_message_that_never_comes_through_is_shown_in_the_end(paying, held, crowd):
    [event_id] = await paying.pay(held)
    letter = paying.inbox.letters[paying.provider.name, event_id]
    for _ in range(TRIES_MAX):
        assert await paying.inbox.stuck(1) == []
        paying.clock.now = letter.try_at
        [message] = await paying.inbox.waiting(1)
        await paying.messages.take(message)
    assert await paying.inbox.waiting(1) == []
    assert len(await paying.inbox.stuck(1)) == 1
