"""401; 422 shape; 403 and 404; idempotency; 412; then what the state says: whoever fails in two ways hears the first."""

import asyncio
from uuid import UUID

import pytest

from tests.api.driving import done, refused

NOBODY = str(UUID("018f0000-0000-7000-8000-000000000000"))

BAD_HOLDS = [
    ({"party_size": 2}, "starts_at"),
    ({"party_size": 2, "starts_at": "2030-01-02T19:00", "check_in": "2030-01-02"}, "starts_at"),
    ({"party_size": 2, "check_in": "2030-01-02"}, "check_out"),
    ({"party_size": 2, "check_out": "2030-01-02"}, "check_in"),
    ({"party_size": 2, "check_in": "2030-01-02", "check_out": "2030-01-02"}, "check_out"),
    ({"party_size": 2, "check_in": "2030-01-02", "check_out": "2030-01-01"}, "check_out"),
]
BAD_AMENDMENTS = [
    ({"starts_at": "2030-01-02T19:00", "check_out": "2030-01-02"}, "starts_at"),
    ({"check_in": "2030-01-02", "check_out": "2030-01-02"}, "check_out"),
]
BAD_STATUS = {"status": "CONFIRMED", "bill": {"amount_minor": 1, "currency": "EUR"}}


@pytest.mark.parametrize(("body", "path"), BAD_HOLDS)
async def test_a_badly_shaped_hold_is_422_to_whoever_may_not_book(api, guest, body, path):
    house = await api.restaurant()
    url = f"/booking/vendor/{house.id}"
    for headers in (house.headers, api.operator):
        refused(await api.http.post(url, json=body, headers=headers), 422, "invalid_request", path)
    refused(await api.http.post(url, json=body), 401, "unauthenticated")
    refused(
        await api.http.post("/booking/vendor/nonsense", json=body, headers=guest.headers), 422, "invalid_request", path
    )


@pytest.mark.parametrize(("body", "path"), BAD_HOLDS)
async def test_a_badly_shaped_item_of_many_names_the_field(api, guest, body, path):
    house = await api.restaurant()
    many = {"bookings": [{"vendor_id": house.id, **body}]}
    item = done(await api.http.post("/booking/bulk", json=many, headers=guest.headers), 207)["items"][0]
    assert item["status"] == 422
    assert item["problem"]["errors"][0]["path"] == path


@pytest.mark.parametrize("booking_id", [NOBODY, "nonsense"])
async def test_a_badly_shaped_change_comes_before_404(api, guest, booking_id):
    for body, path in BAD_AMENDMENTS:
        response = await api.http.put(f"/booking/{booking_id}", json=body, headers=guest.headers)
        refused(response, 422, "invalid_request", path)
    response = await api.http.put(f"/booking/{booking_id}/status", json=BAD_STATUS, headers=guest.headers)
    refused(response, 422, "invalid_request", "bill")


@pytest.mark.parametrize("user_id", [NOBODY, "nonsense"])
async def test_a_bad_cursor_comes_before_the_owner(api, guest, user_id):
    url = f"/bookings/user/{user_id}"
    refused(await api.http.get(f"{url}?cursor=x", headers=guest.headers), 422, "invalid_request", "cursor")
    refused(await api.http.get(url, headers=guest.headers), 404, "not_found")


async def test_a_cursor_of_another_list_comes_before_the_owner(api, guest):
    house, other = await api.restaurant(), await api.user()
    for _ in range(2):
        await api.booked(guest, house)
    url = f"/bookings/user/{guest.id}?limit=1"
    cursor = done(await api.http.get(url, headers=guest.headers))["next_cursor"]
    stranger = f"/bookings/user/{other.id}?cursor={cursor}"
    refused(await api.http.get(stranger, headers=guest.headers), 422, "invalid_request", "cursor")
    refused(await api.http.get(f"{url}&cursor={cursor}", headers=other.headers), 404, "not_found")


@pytest.mark.parametrize("vendor_id", [NOBODY, "nonsense"])
async def test_a_bad_period_comes_before_the_vendor(api, guest, vendor_id):
    dates = "from=2030-01-02&to=2030-01-01"
    for url in (f"/bookings/vendor/{vendor_id}?{dates}", f"/vendor/{vendor_id}/availability?{dates}"):
        refused(await api.http.get(url, headers=guest.headers), 422, "invalid_request", "to")
    url = f"/vendor/{vendor_id}/availability"
    refused(await api.http.get(f"{url}?from=2030-01-01&to=2030-03-04"), 422, "invalid_request", "to")
    refused(await api.http.get(f"{url}?from=2030-01-01&to=2030-03-03"), 404, "not_found")


SEAT = {"name": "A", "seat_type": "t", "capacity_min": 1, "capacity_max": 2}
SERVICE = {"days": ["mon"], "first": "12:00", "last": "14:00", "every_minutes": 30}
NO_VENDOR_COULD = [
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"currency": "XXZ"}, "currency"),
    ({"seats": [SEAT, SEAT]}, "seats[1].name"),
    ({"seats": [{**SEAT, "price": {"amount_minor": 1, "currency": "XXZ"}}]}, "seats[0].price.currency"),
    (
        {"currency": "EUR", "seats": [{**SEAT, "price": {"amount_minor": 1, "currency": "USD"}}]},
        "seats[0].price.currency",
    ),
    ({"seats": [SEAT], "combinations": [["A", "B"]]}, "combinations[0][1]"),
    ({"combinations": [["A", "A"]]}, "combinations[0]"),
    ({"services": [{**SERVICE, "first": "12:01"}]}, "services[0].first"),
    ({"services": [{**SERVICE, "every_minutes": 7}]}, "services[0].every_minutes"),
    ({"turn_minutes": [{"party_max": 2, "minutes": 60}, {"party_max": 2, "minutes": 90}]}, "turn_minutes[1].party_max"),
    ({"kind": "restaurant", "turn_minutes": []}, "turn_minutes"),
    ({"stay": {"min_nights": 3, "max_nights": 2}}, "stay.min_nights"),
    ({"kind": "hotel", "services": [SERVICE]}, "services"),
    ({"cuisines": ["thai"], "amenities": ["sauna"]}, "amenities"),
    ({"seats": [SEAT], "policy": {"deposit": {"kind": "percent", "percent": 10}}}, "policy.deposit.percent"),
]


@pytest.mark.parametrize(("change", "path"), NO_VENDOR_COULD)
async def test_what_no_vendor_could_take_comes_before_whose_it_is(api, guest, change, path):
    house = await api.restaurant()
    tries = [
        (house.id, guest.headers),
        (NOBODY, guest.headers),
        ("nonsense", guest.headers),
        (house.id, {**house.headers, "If-Match": '"9"'}),
        (house.id, house.headers),
    ]
    for vendor_id, headers in tries:
        response = await api.http.put(f"/vendor/{vendor_id}", json=change, headers=headers)
        refused(response, 422, "invalid_request", path)


NEEDS_THE_VENDOR = [
    {"kind": "hotel"},
    {"amenities": ["sauna"]},
    {"turn_minutes": None},
    {"combinations": [["A", "B"]]},
    {"seats": [{**SEAT, "price": {"amount_minor": 1, "currency": "USD"}}]},
]


@pytest.mark.parametrize("change", NEEDS_THE_VENDOR)
async def test_what_depends_on_the_vendor_comes_after_whose_it_is(api, guest, change):
    house = await api.restaurant()
    url = f"/vendor/{house.id}"
    refused(await api.http.put(url, json=change, headers=guest.headers), 403, "forbidden")
    refused(await api.http.put(f"/vendor/{NOBODY}", json=change, headers=guest.headers), 404, "not_found")
    refused(await api.http.put(url, json=change, headers=house.headers), 422, "invalid_request")


GOOD_CHANGES = [
    {},
    {"name": "Zum Goldenen Test"},
    {"seats": [{**SEAT, "price": {"amount_minor": 100, "currency": "EUR"}}]},
    {"combinations": [["T1", "T2"]]},
    {"time_zone": "Asia/Kathmandu", "services": [{**SERVICE, "every_minutes": 15}]},
    {"stay": None, "services": None, "pacing": None, "check_in": None},
    {"pacing": {"covers_per_step": 3}, "turn_minutes": [{"party_max": 2, "minutes": 60}]},
]


@pytest.mark.parametrize("change", GOOD_CHANGES)
async def test_what_a_vendor_can_take_passes(api, change):
    house = await api.restaurant()
    done(await api.http.put(f"/vendor/{house.id}", json=change, headers=house.headers))


async def test_a_percentage_needs_only_the_prices_that_the_vendor_has(api):
    house = await api.hotel()
    change = {"policy": {"deposit": {"kind": "percent", "percent": 10}}}
    done(await api.http.put(f"/vendor/{house.id}", json=change, headers=house.headers))


async def test_if_match_takes_a_list(api, guest):
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    places = [
        (f"/booking/{booking_id}", {"notes": "x"}, {"notes": "y"}, guest),
        (f"/vendor/{house.id}", {"city": "x"}, {"city": "y"}, house),
        (f"/user/{guest.id}", {"name": "x"}, {"name": "y"}, guest),
    ]
    for url, first, second, who in places:
        tagged = {**who.headers, "If-Match": '"2", W/"9", "1"'}
        assert done(await api.http.put(url, json=first, headers=tagged))["version"] == 2
        assert done(await api.http.put(url, json=second, headers=tagged))["version"] == 3
        refused(await api.http.put(url, json=first, headers=tagged), 412, "version_conflict")
        lines = [*who.headers.items(), ("If-Match", '"7"'), ("If-Match", '"3"')]
        assert done(await api.http.put(url, json=first, headers=lines))["version"] == 4


async def test_prefer_on_several_lines_is_one_list(api, guest):
    house = await api.restaurant(policy={"approval": "manual"})
    booking_id = (await api.booked(guest, house))["booking_id"]
    lines = [*guest.headers.items(), ("Prefer", "wait=30"), ("Prefer", "respond-async")]
    waiting = asyncio.create_task(api.http.get(f"/booking/{booking_id}/status", headers=lines))
    for _ in range(20):
        await api.booking(guest, booking_id)
    assert not waiting.done()
    done(await api.set_status(house, booking_id, "CONFIRMED"))
    assert done(await waiting)["status"] == "CONFIRMED"
