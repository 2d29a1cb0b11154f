from datetime import timedelta
from uuid import uuid4

import pytest

from tests.api.driving import done, instant, refused


async def listed(api, who, path, **query):
    return done(await api.http.get(f"/bookings/{path}", params=query, headers=who.headers))


async def paged(api, who, path, **query):
    """Every page of the list, joined; and how long each was."""
    items, sizes, cursor = [], [], {}
    while True:
        page = await listed(api, who, path, **query, **cursor)
        items += page["items"]
        sizes.append(len(page["items"]))
        if page["next_cursor"] is None:
            return items, sizes
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
def starts():
    return lambda items: [instant(item["starts_at"]) for item in items]


async def test_a_guest_sees_what_it_booked_newest_start_first(api, guest, starts):
    houses = [await api.restaurant(), await api.hotel()]
    made = [await api.booked(guest, house) for house in houses]
    made += [await api.booked(guest, houses[0], starts_at=api.at(20, ahead=ahead)) for ahead in (3, 9, 5)]
    items = (await listed(api, guest, f"user/{guest.id}"))["items"]
    assert starts(items) == sorted((instant(item["starts_at"]) for item in made), reverse=True)
    assert {item["booking_id"]: item for item in items} == {item["booking_id"]: item for item in made}


async def test_a_vendor_sees_what_was_booked_there_and_nothing_else(api, guest):
    house, other = await api.restaurant(), await api.restaurant()
    mine = await api.booked(guest, house)
    await api.booked(guest, other)
    assert (await listed(api, house, f"vendor/{house.id}"))["items"] == [mine]
    assert done(await api.http.get(f"/bookings/vendor/{house.id}", headers=api.operator))["items"] == [mine]


async def test_pages_join_without_a_gap_also_where_starts_are_the_same(api, guest):
    house = await api.hotel(
        seats=[{"name": "R", "seat_type": "r", "capacity_min": 1, "capacity_max": 2, "quantity": 30}]
    )
    made = [await api.booked(guest, house) for _ in range(7)]
    whole = (await listed(api, guest, f"user/{guest.id}"))["items"]
    assert {item["booking_id"] for item in whole} == {item["booking_id"] for item in made}
    for path, who in ((f"user/{guest.id}", guest), (f"vendor/{house.id}", house)):
        items, sizes = await paged(api, who, path, limit=3)
        assert (items, sizes) == (whole, [3, 3, 1])
    items, sizes = await paged(api, guest, f"user/{guest.id}", limit=7)
    assert (items, sizes) == (whole, [7])


async def test_a_cursor_survives_inserts(api, guest):
    house = await api.hotel(
        seats=[{"name": "R", "seat_type": "r", "capacity_min": 1, "capacity_max": 2, "quantity": 30}]
    )
    for ahead in (5, 6, 7, 8):
        await api.booked(guest, house, check_in=str(api.day(ahead)), check_out=str(api.day(ahead + 1)))
    before = (await listed(api, guest, f"user/{guest.id}"))["items"]
    page = await listed(api, guest, f"user/{guest.id}", limit=2)
    await api.booked(guest, house, check_in=str(api.day(20)), check_out=str(api.day(21)))
    rest = await listed(api, guest, f"user/{guest.id}", limit=2, cursor=page["next_cursor"])
    assert page["items"] + rest["items"] == before


async def test_current_and_past_are_together_all(api, clock):
    guest = await api.user()
    house = await api.restaurant(policy={"approval": "manual"})
    kept, cancelled, confirmed = [await api.booked(guest, house, starts_at=api.at(hour)) for hour in (12, 14, 19)]
    done(await api.set_status(guest, cancelled["booking_id"], "CANCELLED"))
    done(await api.set_status(house, confirmed["booking_id"], "CONFIRMED"))

    async def ids(when):
        items = (await listed(api, guest, f"user/{guest.id}", when=when))["items"]
        return {item["booking_id"] for item in items}

    assert await ids("current") == {kept["booking_id"], confirmed["booking_id"]}
    assert await ids("past") == {cancelled["booking_id"]}
    assert await ids("all") == {item["booking_id"] for item in (kept, cancelled, confirmed)}
    clock.advance(days=8)
    guest.headers.update(await api.login("user", guest.body))
    assert await ids("current") == set()
    assert len(await ids("past")) == 3


async def test_a_change_shows_in_the_list(api, guest):
    house = await api.restaurant()
    booking = await api.booked(guest, house)
    amended = done(await api.amend(guest, booking["booking_id"], notes="Later"))
    assert (await listed(api, guest, f"user/{guest.id}"))["items"] == [amended]
    cancelled = done(await api.set_status(guest, booking["booking_id"], "CANCELLED"))
    assert (await listed(api, house, f"vendor/{house.id}", when="past"))["items"] == [cancelled]


async def test_a_vendor_asks_by_day_and_status(api, guest):
    house = await api.restaurant()
    days = {ahead: await api.booked(guest, house, starts_at=api.at(19, ahead=ahead)) for ahead in (4, 5, 6)}
    path = f"vendor/{house.id}"
    day = str(api.day(5))
    assert (await listed(api, house, path, **{"from": day, "to": day}))["items"] == [days[5]]
    assert (await listed(api, house, path, **{"from": day}))["items"] == [days[6], days[5]]
    assert (await listed(api, house, path, to=day))["items"] == [days[5], days[4]]
    cancelled = done(await api.set_status(guest, days[4]["booking_id"], "CANCELLED"))
    assert (await listed(api, house, path, status="CANCELLED", when="all"))["items"] == [cancelled]
    assert (await listed(api, house, path, status="CONFIRMED"))["items"] == [days[6], days[5]]
    assert (await listed(api, house, path, **{"from": "0001-01-01", "to": "9999-12-31"}))["items"] == [days[6], days[5]]


async def test_a_day_is_the_vendors_own(api, guest):
    """Ten at night in New York is the next day in UTC."""
    services = [
        {
            "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            "first": "21:00",
            "last": "23:00",
            "every_minutes": 30,
        }
    ]
    house = await api.restaurant(time_zone="America/New_York", services=services)
    booking = await api.booked(guest, house, starts_at=api.at(22, ahead=5))
    assert instant(booking["starts_at"]).date() == api.day(5) + timedelta(days=1)
    for day, found in ((api.day(5), [booking]), (api.day(6), [])):
        page = await listed(api, house, f"vendor/{house.id}", **{"from": str(day), "to": str(day)})
        assert page["items"] == found


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"when": "tomorrow"}, "when"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "A" * 40}, "cursor"),
        ({"cursor": "A" * 500}, "cursor"),
        ({"page": "2"}, "page"),
    ],
)
async def test_a_bad_question(api, guest, query, path):
    house = await api.restaurant()
    for url, who in ((f"/bookings/user/{guest.id}", guest), (f"/bookings/vendor/{house.id}", house)):
        refused(await api.http.get(url, params=query, headers=who.headers), 422, "invalid_request", path)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"from": "2030-01-32"}, "from"),
        ({"to": "x"}, "to"),
        ({"from": "2030-01-02", "to": "2030-01-01"}, "to"),
        ({"status": "confirmed"}, "status"),
        ({"status": ""}, "status"),
    ],
)
async def test_a_bad_question_of_a_vendor(api, query, path):
    house = await api.restaurant()
    response = await api.http.get(f"/bookings/vendor/{house.id}", params=query, headers=house.headers)
    refused(response, 422, "invalid_request", path)


async def test_a_cursor_of_another_list_is_none_of_this(api, guest):
    house = await api.hotel()
    for _ in range(2):
        await api.booked(guest, house)
    cursor = (await listed(api, guest, f"user/{guest.id}", limit=1))["next_cursor"]
    for url, query, who in (
        (f"/bookings/user/{guest.id}", {"when": "all"}, guest),
        (f"/bookings/vendor/{house.id}", {}, house),
    ):
        response = await api.http.get(url, params={**query, "cursor": cursor}, headers=who.headers)
        refused(response, 422, "invalid_request", "cursor")


async def test_whose_list_it_is(api, guest):
    house, other, stranger = await api.restaurant(), await api.restaurant(), await api.user()
    url = f"/bookings/user/{guest.id}"
    refused(await api.http.get(url), 401, "unauthenticated")
    for headers in (stranger.headers, house.headers):
        refused(await api.http.get(url, headers=headers), 404, "not_found")
    refused(await api.http.get("/bookings/user/nonsense", headers=guest.headers), 404, "not_found")
    done(await api.http.get(url, headers=api.operator))

    url = f"/bookings/vendor/{house.id}"
    refused(await api.http.get(url), 401, "unauthenticated")
    for headers in (stranger.headers, other.headers):
        refused(await api.http.get(url, headers=headers), 403, "forbidden")
    for vendor_id in (uuid4(), "nonsense"):
        refused(await api.http.get(f"/bookings/vendor/{vendor_id}", headers=house.headers), 404, "not_found")
    done(await api.http.get(url, headers=api.operator))


async def test_every_list_says_whether_the_past_is_missing(api, guest):
    house = await api.restaurant()
    for path, who in ((f"user/{guest.id}", guest), (f"vendor/{house.id}", house)):
        for when in ("current", "past", "all"):
            page = await listed(api, who, path, when=when)
            assert page == {"items": [], "next_cursor": None, "past_missing": False}


async def test_archived_bookings_are_in_the_same_order_under_the_same_cursor(api, guest, departed):
    house = await api.restaurant()
    made = [await api.booked(guest, house, starts_at=api.at(19, ahead=ahead)) for ahead in range(3, 9)]
    over = [done(await api.set_status(guest, made[number]["booking_id"], "CANCELLED")) for number in (0, 2, 3, 5)]
    whole = [over[3], made[4], over[2], over[1], made[1], over[0]]
    assert (await paged(api, guest, f"user/{guest.id}", when="all", limit=4))[0] == whole
    await departed(over[0])
    await departed(over[2])
    await departed(over[3], deleted=False)
    for path, who in ((f"user/{guest.id}", guest), (f"vendor/{house.id}", house)):
        for limit in (1, 2, 4, 6, 50):
            assert (await paged(api, who, path, when="all", limit=limit))[0] == whole
            assert (await paged(api, who, path, when="past", limit=limit))[0] == [over[3], over[2], over[1], over[0]]
        assert (await listed(api, who, path))["items"] == [made[4], made[1]]
    assert (await listed(api, house, f"vendor/{house.id}", status="CANCELLED", when="all"))["items"] == over[::-1]


async def test_a_writer_sees_its_write_in_the_list(api, guest):
    """The first page is kept for a moment, but never longer than until the next write."""
    house = await api.restaurant()
    made = []
    for ahead in range(3, 8):
        assert (await listed(api, guest, f"user/{guest.id}"))["items"] == made[::-1]
        assert (await listed(api, house, f"vendor/{house.id}"))["items"] == made[::-1]
        made.append(await api.booked(guest, house, starts_at=api.at(19, ahead=ahead)))
    done(await api.set_status(guest, made.pop()["booking_id"], "CANCELLED"))
    made[0] = done(await api.amend(guest, made[0]["booking_id"], notes="Later"))
    assert (await listed(api, guest, f"user/{guest.id}"))["items"] == made[::-1]
    assert (await listed(api, house, f"vendor/{house.id}"))["items"] == made[::-1]
