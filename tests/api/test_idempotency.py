import asyncio

import pytest

from serve_app.booking_models import once_of
from tests.api.driving import done, refused

KEY = {"Idempotency-Key": "the same"}
ONE_TABLE = [{"name": "T", "seat_type": "t", "capacity_min": 1, "capacity_max": 2}]


def replayed(response):
    return response.headers.get("idempotency-replayed") == "true"


async def test_a_replay_is_the_first_answer(api, guest):
    house = await api.restaurant()
    first = await api.hold(guest, house, headers=KEY)
    again = await api.hold(guest, house, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (replayed(first), replayed(again)) == (False, True)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    listed = done(await api.http.get(f"/bookings/user/{guest.id}", headers=guest.headers))["items"]
    assert len(listed) == 1


async def test_a_replay_does_not_change_with_the_booking(api, guest):
    house = await api.restaurant(seats=ONE_TABLE)
    first = await api.hold(guest, house, headers=KEY)
    done(await api.set_status(guest, first.json()["booking_id"], "CANCELLED"))
    assert (await api.hold(guest, house, headers=KEY)).content == first.content
    await api.booked(guest, house)


async def test_spaces_and_order_do_not_make_another_request(api, guest):
    house = await api.restaurant()
    url, headers = f"/booking/vendor/{house.id}", {**guest.headers, **KEY}
    starts_at = api.at(19)
    bodies = [
        f'{{"party_size": 2, "starts_at": "{starts_at}"}}',
        f'{{\n "starts_at" : "{starts_at}",\t"party_size":2}}',
    ]
    first, again = [await api.http.post(url, content=body, headers=headers) for body in bodies]
    assert done(again, 201) == done(first, 201)


async def test_the_same_key_with_another_body_is_refused(api, guest):
    house = await api.restaurant()
    done(await api.hold(guest, house, headers=KEY), 201)
    refused(await api.hold(guest, house, headers=KEY, party_size=1), 409, "idempotency_key_reused")


async def test_a_key_belongs_to_its_caller_and_vendor(api, guest):
    house, other = await api.restaurant(), await api.restaurant()
    somebody = await api.user()
    answers = [
        await api.hold(who, where, headers=KEY) for who, where in ((guest, house), (somebody, house), (guest, other))
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert not any(replayed(answer) for answer in answers)


async def test_a_refusal_is_decided_anew(api, guest):
    house = await api.restaurant(seats=ONE_TABLE)
    booking = await api.booked(guest, house)
    refused(await api.hold(guest, house, headers=KEY), 409, "no_availability")
    done(await api.set_status(guest, booking["booking_id"], "CANCELLED"))
    assert not replayed(await api.hold(guest, house, headers=KEY))


async def test_a_key_of_255_characters(api, guest):
    house = await api.restaurant()
    key = {"Idempotency-Key": "k" * 255}
    first, again = [await api.hold(guest, house, headers=key) for _ in range(2)]
    assert done(first, 201) == done(again, 201)


async def test_many_at_once_under_one_key_make_one_booking(api, guest):
    house = await api.restaurant()
    answers = await asyncio.gather(*(api.hold(guest, house, headers=KEY) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(not replayed(answer) for answer in answers) == 1


async def test_an_amendment_is_replayed(api, guest):
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    first = await api.amend(guest, booking_id, headers=KEY, notes="One")
    done(await api.amend(guest, booking_id, notes="Two"))
    again = await api.amend(guest, booking_id, headers=KEY, notes="One")
    assert (replayed(first), replayed(again)) == (False, True)
    assert again.content == first.content
    assert again.headers["etag"] == '"2"'
    refused(await api.amend(guest, booking_id, headers=KEY, notes="Three"), 409, "idempotency_key_reused")


async def test_a_status_is_replayed_where_it_would_be_illegal_anew(api, guest):
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    first = await api.set_status(guest, booking_id, "CANCELLED", headers=KEY, reason="Ill")
    again = await api.set_status(guest, booking_id, "CANCELLED", headers=KEY, reason="Ill")
    assert again.content == first.content
    assert replayed(again)
    refused(await api.set_status(guest, booking_id, "CANCELLED"), 409, "illegal_transition")


async def test_a_replay_comes_before_the_version(api, guest):
    """The order of refusals: idempotency before 412."""
    house = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    headers = {**KEY, "If-Match": '"1"'}
    first = await api.amend(guest, booking_id, headers=headers, notes="One")
    again = await api.amend(guest, booking_id, headers=headers, notes="One")
    assert again.content == first.content
    assert replayed(again)


async def test_a_key_of_a_hold_is_none_for_a_status(api, guest):
    house = await api.restaurant()
    booking = done(await api.hold(guest, house, headers=KEY), 201)
    refused(await api.set_status(guest, booking["booking_id"], "CANCELLED", headers=KEY), 409, "idempotency_key_reused")


async def test_a_replay_that_waits_shows_the_settled_booking_like_the_first_request_did(api, guest):
    house = await api.restaurant(policy={"approval": "manual"})
    waiting = {**KEY, "Prefer": "wait=30"}
    first = asyncio.create_task(api.hold(guest, house, headers=waiting))
    items = []
    while not items:
        items = done(await api.http.get(f"/bookings/user/{guest.id}", headers=guest.headers))["items"]
    second = asyncio.create_task(api.hold(guest, house, headers=waiting))
    confirmed = done(await api.set_status(house, items[0]["booking_id"], "CONFIRMED"))
    answers = [await first, await second, await api.hold(guest, house, headers=waiting)]
    assert [done(answer, 201) for answer in answers] == [confirmed] * 3
    assert {answer.headers["etag"] for answer in answers} == {'"2"'}
    assert [replayed(answer) for answer in answers] == [False, True, True]


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "wait=0"}])
async def test_a_replay_that_does_not_wait_is_the_first_answer(api, guest, prefer):
    house = await api.restaurant(policy={"approval": "manual"})
    first = await api.hold(guest, house, headers=KEY)
    done(await api.set_status(house, first.json()["booking_id"], "CONFIRMED"))
    assert (await api.hold(guest, house, headers={**KEY, **prefer})).content == first.content


async def test_a_replay_waits_no_longer_than_it_asks(api, guest):
    house = await api.restaurant(policy={"approval": "manual"})
    first = await api.hold(guest, house, headers=KEY)
    assert (await api.hold(guest, house, headers={**KEY, "Prefer": "wait=1"})).content == first.content


@pytest.mark.parametrize("digits", [20, 401, 4300])
async def test_a_key_goes_with_a_number_of_any_length(api, guest, digits):
    """What is too large for a double is refused or obeyed for what it says, with a key as without one."""
    house, hotel = await api.restaurant(), await api.hotel()
    booking_id = (await api.booked(guest, house))["booking_id"]
    number = b"9" * digits
    headers = {**guest.headers, **KEY}
    hold = b'{"party_size": %b, "starts_at": "%b"}' % (number, api.at(19).encode())
    refused(await api.http.post(f"/booking/vendor/{house.id}", content=hold, headers=headers), 409, "party_too_large")
    stay = b'{"party_size": 2, "check_in": "%b", "check_out": "%b", "quantity": %b}'
    stay %= (str(api.day(7)).encode(), str(api.day(8)).encode(), number)
    response = await api.http.post(f"/booking/vendor/{hotel.id}", content=stay, headers=headers)
    assert response.status_code in {409, 422}, response.text
    amended = b'{"party_size": %b}' % number
    refused(await api.http.put(f"/booking/{booking_id}", content=amended, headers=headers), 409, "party_too_large")
    status = b'{"status": "AVAILED", "bill": {"amount_minor": %b, "currency": "EUR"}}' % number
    refused(
        await api.http.put(f"/booking/{booking_id}/status", content=status, headers=headers), 422, "invalid_request"
    )


async def test_long_numbers_make_different_requests():
    """Two whole numbers that are one double are still two."""
    bodies = [b'{"party_size": 36893488147419103233}', b'{"party_size": 36893488147419103234}']
    prints = {once_of("k", "POST /x", body).fingerprint for body in bodies}
    assert len(prints) == 2
