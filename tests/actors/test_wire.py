"""What travels between processes arrives equal."""

import pytest

from actors.outcome import Done, Trouble, Unavailable, VendorDone
from actors.waiting import News
from actors.wire import pack, unpack
from domain.availability import AvailabilityQuery, FreeSeats
from domain.command import SittingTime
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.search import SeatWish, Verdict
from tests.fakes.houses import (
    EVENING,
    amend,
    cancel,
    changing,
    guest,
    hold,
    hotel,
    opening,
    restaurant,
    stay,
    vendor_id,
)

V = vendor_id(1)


@pytest.mark.parametrize(
    "value",
    [
        (hold(V, key="k"), True),
        stay(V, EVENING.date(), EVENING.date()),
        cancel(hold(V).booking_id, key="c"),
        amend(hold(V).booking_id, at=EVENING, notes="n"),
        opening(restaurant(V)),
        opening(hotel(V)),
        changing(V, name="x", seats=restaurant(V).seats),
        [Unavailable(Trouble.OVERLOADED, "x"), Rejection(Reason.NOT_FOUND, "y", "z"), VendorDone(hotel(V))],
        (V, AvailabilityQuery(EVENING.date(), EVENING.date(), 3, "table")),
        ([V], SeatWish(SittingTime(EVENING), 3, "table", alternatives_max=2)),
        [Verdict(V, available=False, alternatives=(EVENING,))],
        [FreeSeats(EVENING.date(), EVENING, "table", 3, Money(1, "EUR"))],
        None,
        guest(),
    ],
)
def test_it_arrives_equal(value):
    assert unpack(pack(value)) == value


async def test_bookings_and_news_arrive_equal(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=100)))
    done = await shard.ask(hold(V, key="k"))
    assert isinstance(done, Done)
    assert unpack(pack([done])) == [done]
    news = News(1, 2, gap=False, bookings=(done.booking,))
    assert unpack(pack(news)) == news
    assert unpack(pack(shard.stats())) == shard.stats()


def test_a_field_of_one_value_arrives_too():
    assert unpack(pack(VendorDone(restaurant(V)))).vendor == restaurant(V)
