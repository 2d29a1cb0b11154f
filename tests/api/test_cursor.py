from datetime import UTC, datetime
from math import inf, nan
from uuid import uuid4

import pytest

from domain.booking_list import ListPosition
from domain.ids import BookingId, VendorId
from domain.search import SearchOrder, SortPosition
from serve_app.cursor import cursor_of, position_of, search_cursor_of, sort_position_of

POSITION = ListPosition(datetime(2026, 12, 24, 18, 30, 0, 123456, tzinfo=UTC), BookingId(uuid4()))


@pytest.mark.parametrize(
    "starts_at",
    [POSITION.starts_at, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
)
def test_a_cursor_comes_back_as_it_went(starts_at):
    position = ListPosition(starts_at, POSITION.booking_id)
    assert position_of(cursor_of(position, "user 1 all"), "user 1 all") == position


@pytest.mark.parametrize(
    "cursor", ["", "x", "%", "ä", "A" * 60, "A" * 40, cursor_of(POSITION, "list")[:-4], "\x00" * 40]
)
def test_what_is_no_cursor_is_none(cursor):
    assert position_of(cursor, "list") is None


def test_a_cursor_is_good_for_its_own_list_alone():
    assert position_of(cursor_of(POSITION, "user 1 all"), "user 2 all") is None
    assert position_of(cursor_of(POSITION, "user 1 all"), "user 1 past") is None


def test_no_bit_of_a_cursor_can_be_changed():
    good = cursor_of(POSITION, "list")
    for place in range(len(good)):
        bent = good[:place] + ("B" if good[place] != "B" else "C") + good[place + 1 :]
        assert position_of(bent, "list") is None


@pytest.mark.parametrize("order", SearchOrder)
@pytest.mark.parametrize("key", [0.0, -58.0, 5000.0, 20_015.1, 2.0**53, inf])
def test_a_search_goes_on_where_the_page_ended(key, order):
    position = SortPosition(key, VendorId(uuid4()))
    there = sort_position_of(search_cursor_of(position, "search"), "search", order)
    assert there == (position if key != inf or order is SearchOrder.PRICE else None)


@pytest.mark.parametrize("order", SearchOrder)
@pytest.mark.parametrize("key", [-inf, nan, 1e300, -1e300])
def test_a_key_that_no_vendor_can_have_is_no_cursor(key, order):
    bent = search_cursor_of(SortPosition(key, VendorId(uuid4())), "search")
    assert sort_position_of(bent, "search", order) is None
