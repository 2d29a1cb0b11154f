from datetime import timedelta
from uuid import uuid4

import pytest

from tests.api.driving import done, instant, refused

HIGH = {"policy": {"deposit": {"kind": "per_booking", "amount_minor": 2000}}}


async def test_a_table_is_held_confirmed_and_read(api):
    house, guest = await api.restaurant(), await api.user()
    contact = {"name": "Ada", "email": "Ada@Example.org", "phone": "+43 1"}
    response = await api.hold(guest, house, party_size=2, seat_type="table", notes="Window, please", contact=contact)
    booking = done(response, 201)

    assert response.headers["etag"] == '"1"'
    assert "idempotency-replayed" not in response.headers
    assert (booking["status"], booking["version"], booking["kind"]) == ("CONFIRMED", 1, "restaurant")
    assert (booking["user_id"], booking["vendor_id"], booking["party_size"]) == (guest.id, house.id, 2)
    assert (booking["notes"], booking["contact"]) == ("Window, please", contact)
    assert [(seat["name"], seat["seat_type"]) for seat in booking["seats"]] == [("T1", "table")]
    assert instant(booking["ends_at"]) - instant(booking["starts_at"]) == timedelta(minutes=90)
    nulls = ("check_in", "check_out", "hold_expires_at", "price", "payment", "cancel_reason")
    assert [booking[name] for name in nulls] == [None] * len(nulls)
    assert len(booking["code"]) == 8
    assert await api.booking(guest, booking["booking_id"]) == booking


async def test_a_seat_has_a_lasting_id_in_its_vendor(api):
    house, guest = await api.restaurant(), await api.user()
    first = await api.booked(guest, house, starts_at=api.at(19))
    other = await api.booked(guest, house, starts_at=api.at(19, ahead=8))
    assert first["seats"] == other["seats"]
    assert first["seats"][0]["seat_id"][:31] == house.id[:31]


async def test_rooms_are_held_for_nights(api):
    house, guest = await api.hotel(), await api.user()
    given = {"check_in": str(api.day(7)), "check_out": str(api.day(10)), "seat_type": "double", "quantity": 2}
    booking = await api.booked(guest, house, party_size=4, **given)
    assert (booking["check_in"], booking["check_out"], booking["kind"]) == (str(api.day(7)), str(api.day(10)), "hotel")
    assert len({seat["seat_id"] for seat in booking["seats"]}) == 2
    assert booking["price"] == {"amount_minor": 2 * 3 * 12_000, "currency": "EUR"}
    assert booking["contact"] is None
    assert booking["notes"] is None


@pytest.mark.parametrize("house", ["restaurant", "hotel"])
async def test_a_seat_is_sold_once(api, house):
    house, guest = await getattr(api, house)(), await api.user()
    for _ in range(2 if house.body["kind"] == "restaurant" else 4):
        await api.booked(guest, house)
    assert refused(await api.hold(guest, house), 409, "no_availability")["transient"] is True


async def test_an_instant_and_a_local_time_say_the_same(api):
    house, guest = await api.restaurant(), await api.user()
    local = await api.booked(guest, house, starts_at=api.at(19))
    offset = await api.booked(guest, house, starts_at=local["starts_at"])
    assert offset["starts_at"] == local["starts_at"]


async def test_a_deposit_blocks_and_the_vendors_confirm_settles_it(api):
    house, guest = await api.restaurant(**HIGH), await api.user()
    booking = await api.booked(guest, house)
    assert (booking["status"], booking["version"], booking["payment"]["status"]) == ("BLOCKED", 1, "pending")
    assert instant(booking["hold_expires_at"]) - instant(booking["created_at"]) == timedelta(seconds=600)
    confirmed = done(await api.set_status(house, booking["booking_id"], "CONFIRMED"))
    assert (confirmed["status"], confirmed["version"], confirmed["hold_expires_at"]) == ("CONFIRMED", 2, None)
    assert (confirmed["payment"]["status"], confirmed["payment"]["due"]) == ("void", None)


async def test_manual_approval_blocks(api):
    house, guest = await api.restaurant(policy={"approval": "manual"}), await api.user()
    assert (await api.booked(guest, house))["status"] == "BLOCKED"


async def test_the_status_alone(api):
    house, guest = await api.restaurant(**HIGH), await api.user()
    booking = await api.booked(guest, house)
    for who in (guest.headers, house.headers, api.operator):
        response = await api.http.get(f"/booking/{booking['booking_id']}/status", headers=who)
        assert done(response) == {
            "booking_id": booking["booking_id"],
            "status": "BLOCKED",
            "version": 1,
            "hold_expires_at": booking["hold_expires_at"],
            "payment_status": "pending",
        }
        assert response.headers["etag"] == '"1"'


async def test_a_booking_is_amended_in_part(api):
    house, guest = await api.restaurant(), await api.user()
    booking = await api.booked(guest, house, notes="Old")
    response = await api.amend(guest, booking["booking_id"], party_size=4)
    amended = done(response)
    assert (amended["party_size"], amended["version"], amended["notes"]) == (4, 2, "Old")
    assert [seat["name"] for seat in amended["seats"]] == ["T2"]
    assert response.headers["etag"] == '"2"'
    moved = done(await api.amend(guest, booking["booking_id"], starts_at=api.at(20), notes=None))
    assert instant(moved["starts_at"]) - instant(booking["starts_at"]) == timedelta(hours=1)
    assert moved["notes"] is None
    assert await api.booking(guest, booking["booking_id"]) == moved


async def test_an_amendment_that_finds_nothing_keeps_the_old_seats(api):
    house, guest = await api.restaurant(), await api.user()
    booking = await api.booked(guest, house)
    other = await api.booked(guest, house, party_size=4)
    refused(await api.amend(guest, booking["booking_id"], party_size=4), 409, "no_availability")
    assert await api.booking(guest, booking["booking_id"]) == booking
    refused(await api.hold(guest, house), 409, "no_availability")
    assert other["version"] == 1


async def test_a_stay_is_amended(api):
    house, guest = await api.hotel(), await api.user()
    booking = await api.booked(guest, house, seat_type="double")
    longer = done(await api.amend(guest, booking["booking_id"], check_out=str(api.day(12))))
    assert (longer["check_in"], longer["check_out"]) == (booking["check_in"], str(api.day(12)))
    assert longer["price"]["amount_minor"] == 5 * 12_000


async def test_a_stale_version_is_a_conflict(api):
    house, guest = await api.restaurant(), await api.user()
    booking_id = (await api.booked(guest, house))["booking_id"]
    done(await api.amend(guest, booking_id, headers={"If-Match": '"1"'}, notes="One"))
    refused(await api.amend(guest, booking_id, headers={"If-Match": '"1"'}, notes="Two"), 412, "version_conflict")
    refused(await api.set_status(guest, booking_id, "CANCELLED", headers={"If-Match": '"1"'}), 412, "version_conflict")
    refused(await api.amend(guest, booking_id, headers={"If-Match": '"abc"'}, notes="Two"), 412, "version_conflict")
    done(await api.amend(guest, booking_id, headers={"If-Match": "*"}, notes="Three"))
    done(await api.set_status(guest, booking_id, "CANCELLED", headers={"If-Match": '"3"'}))


async def test_a_guest_cancels_and_the_seat_is_free_again(api):
    house, guest = (
        await api.restaurant(seats=[{"name": "T", "seat_type": "t", "capacity_min": 1, "capacity_max": 2}]),
        await api.user(),
    )
    booking = await api.booked(guest, house)
    refused(await api.hold(guest, house), 409, "no_availability")
    cancelled = done(await api.set_status(guest, booking["booking_id"], "CANCELLED", reason="Ill"))
    assert (cancelled["status"], cancelled["cancel_reason"], cancelled["version"]) == ("CANCELLED", "Ill", 2)
    await api.booked(guest, house)
    refused(await api.set_status(guest, booking["booking_id"], "CANCELLED"), 409, "illegal_transition")


async def test_who_may_set_which_status(api):
    house, guest = await api.restaurant(**HIGH), await api.user()
    booking_id = (await api.booked(guest, house))["booking_id"]
    for status in ("CONFIRMED", "AVAILED", "NO_SHOW"):
        refused(await api.set_status(guest, booking_id, status), 403, "forbidden")
    for who in (guest, house):
        for status in ("BLOCKED", "EXPIRED", "confirmed", "", None, 1):
            refused(await api.set_status(who, booking_id, status), 422, "invalid_request", "status")
    refused(await api.set_status(house, booking_id, "AVAILED"), 409, "illegal_transition")
    done(await api.set_status(house, booking_id, "CONFIRMED"))
    refused(await api.set_status(house, booking_id, "CONFIRMED"), 409, "illegal_transition")
    refused(await api.set_status(house, booking_id, "NO_SHOW"), 409, "illegal_transition")
    assert done(await api.set_status(house, booking_id, "AVAILED"))["status"] == "AVAILED"


async def test_a_bill_goes_with_availed_alone(api):
    house, guest = await api.restaurant(**HIGH), await api.user()
    booking_id = (await api.booked(guest, house))["booking_id"]
    bill = {"amount_minor": 100, "currency": "EUR"}
    refused(await api.set_status(house, booking_id, "CONFIRMED", bill=bill), 422, "invalid_request", "bill")
    done(await api.set_status(house, booking_id, "CONFIRMED"))
    wrong = {"amount_minor": -1, "currency": "EUR"}
    refused(await api.set_status(house, booking_id, "AVAILED", bill=wrong), 422, "invalid_request", "bill.amount_minor")
    done(await api.set_status(house, booking_id, "AVAILED", bill=bill))


async def test_only_the_guest_amends(api):
    house, guest, other = await api.restaurant(), await api.user(), await api.user()
    stranger = await api.restaurant()
    booking_id = (await api.booked(guest, house))["booking_id"]
    refused(await api.amend(house, booking_id, notes="x"), 403, "forbidden")
    refused(await api.amend(other, booking_id, notes="x"), 404, "not_found")
    refused(await api.amend(stranger, booking_id, notes="x"), 404, "not_found")
    for unknown in (uuid4(), "nonsense"):
        refused(await api.amend(guest, unknown, notes="x"), 404, "not_found")
        refused(await api.set_status(guest, unknown, "CANCELLED"), 404, "not_found")


async def test_a_past_no_show_and_its_undo(api, clock):
    house, guest = await api.restaurant(), await api.user()
    booking_id = (await api.booked(guest, house, starts_at=api.at(19, ahead=1)))["booking_id"]
    clock.advance(days=2)
    house.headers.update(await api.login("vendor", house.body))
    guest.headers.update(await api.login("user", guest.body))
    refused(await api.set_status(guest, booking_id, "CANCELLED"), 409, "past_cancellation_deadline")
    refused(await api.amend(guest, booking_id, notes="late"), 409, "past_cancellation_deadline")
    assert done(await api.set_status(house, booking_id, "NO_SHOW"))["status"] == "NO_SHOW"
    assert done(await api.set_status(house, booking_id, "AVAILED"))["status"] == "AVAILED"


async def test_a_late_cancel_succeeds_and_a_late_amendment_does_not(api):
    house = await api.restaurant(policy={"cancel_before_hours": 24 * 30})
    guest = await api.user()
    booking_id = (await api.booked(guest, house))["booking_id"]
    refused(await api.amend(guest, booking_id, notes="late"), 409, "past_cancellation_deadline")
    assert done(await api.set_status(guest, booking_id, "CANCELLED"))["status"] == "CANCELLED"


async def test_a_hold_dies_and_its_seat_is_sold_again(api):
    seats = [{"name": "T", "seat_type": "t", "capacity_min": 1, "capacity_max": 2}]
    policy = {"hold_ttl_seconds": 1, "approval": "manual"}
    house, guest = await api.restaurant(seats=seats, policy=policy), await api.user()
    booking = await api.booked(guest, house)
    url = f"/booking/{booking['booking_id']}/status"
    ended = done(await api.http.get(url, headers={**guest.headers, "Prefer": "wait=10"}))
    assert (ended["status"], ended["version"]) == ("EXPIRED", 2)
    refused(await api.set_status(house, booking["booking_id"], "CONFIRMED"), 409, "hold_expired")
    refused(await api.amend(guest, booking["booking_id"], notes="x"), 409, "hold_expired")
    await api.booked(guest, house)


async def test_prefer_wait_waits_for_the_end_of_blocked(api):
    policy = {"hold_ttl_seconds": 1, "approval": "manual"}
    house, guest = await api.restaurant(policy=policy), await api.user()
    response = await api.hold(guest, house, headers={"Prefer": "wait=10"})
    booking = done(response, 201)
    assert (booking["status"], booking["version"], response.headers["etag"]) == ("EXPIRED", 2, '"2"')
    unhurried = await api.booked(guest, await api.restaurant(policy={"approval": "manual"}))
    url = f"/booking/{unhurried['booking_id']}/status"
    assert done(await api.http.get(url, headers={**guest.headers, "Prefer": "wait=1"}))["status"] == "BLOCKED"


async def test_times_that_the_house_does_not_offer(api):
    house, guest = (
        await api.restaurant(policy={"book_ahead_days_max": 30, "book_ahead_minutes_min": 60}),
        await api.user(),
    )
    for starts_at, code in (
        (api.at(16), "outside_opening_hours"),
        (api.at(19, 10), "outside_opening_hours"),
        (api.at(19) + ":01", "outside_opening_hours"),
        (api.at(19, ahead=-2), "outside_booking_window"),
        (api.at(19, ahead=32), "outside_booking_window"),
        ("9999-12-31T19:00", "outside_booking_window"),
        ("0001-01-01T19:00", "outside_booking_window"),
        ("9999-12-31T23:59:59Z", "outside_booking_window"),
    ):
        refused(await api.hold(guest, house, starts_at=starts_at), 409, code)


async def test_a_time_that_a_clock_change_skips_does_not_exist(api, clock):
    services = [{"days": ["sun"], "first": "00:00", "last": "05:00", "every_minutes": 30}]
    house, guest = await api.restaurant(services=services, policy={"book_ahead_days_max": 730}), await api.user()
    refused(await api.hold(guest, house, starts_at="2027-03-28T02:30"), 409, "outside_opening_hours")
    booking = await api.booked(guest, house, starts_at="2027-03-28T03:00")
    assert booking["starts_at"] == "2027-03-28T01:00:00Z"


async def test_parties_too_large_and_too_small(api):
    seats = [{"name": "T", "seat_type": "t", "capacity_min": 3, "capacity_max": 4}]
    house, guest = await api.restaurant(seats=seats), await api.user()
    for party_size in (5, 10_000, 2**31, 10**18, 10**40):
        refused(await api.hold(guest, house, party_size=party_size), 409, "party_too_large")
    refused(await api.hold(guest, house, party_size=2), 409, "no_availability")


async def test_stays_that_are_not_allowed(api):
    stay = {"min_nights": 2, "max_nights": 5}
    house, guest = await api.hotel(stay=stay, policy={"book_ahead_days_max": 730}), await api.user()
    for nights in (1, 6, 400):
        given = {"check_in": str(api.day(7)), "check_out": str(api.day(7 + nights))}
        refused(await api.hold(guest, house, **given), 409, "stay_not_allowed")


async def test_only_users_book(api):
    house, other = await api.restaurant(), await api.restaurant()
    body = {"party_size": 2, "starts_at": api.at(19)}
    url = f"/booking/vendor/{house.id}"
    for headers in (house.headers, other.headers, api.operator):
        refused(await api.http.post(url, json=body, headers=headers), 403, "forbidden")
    refused(await api.http.post(url, json=body), 401, "unauthenticated")
    refused(await api.http.post(url, json={}, headers=house.headers), 422, "invalid_request")


async def test_a_house_that_is_not_there(api):
    guest = await api.user()
    body = {"party_size": 2, "starts_at": api.at(19)}
    for vendor_id in (uuid4(), "nonsense", guest.id):
        refused(await api.http.post(f"/booking/vendor/{vendor_id}", json=body, headers=guest.headers), 404, "not_found")


async def test_a_new_policy_does_not_touch_a_booking_already_made(api):
    house, guest = await api.restaurant(), await api.user()
    booking = await api.booked(guest, house)
    policy = {"cancel_before_hours": 8000}
    done(await api.http.put(f"/vendor/{house.id}", json={"policy": policy}, headers=house.headers))
    done(await api.amend(guest, booking["booking_id"], notes="still fine"))


async def test_a_guest_holds_so_many_at_once_and_no_more(api, guest, server):
    if server is None:
        pytest.skip("a running server's limit is a setting of its own")
    seats = [{"name": "R", "seat_type": "r", "capacity_min": 1, "capacity_max": 2, "quantity": 30}]
    house = await api.hotel(seats=seats, policy={"approval": "manual"})
    held = [await api.booked(guest, house) for _ in range(20)]
    response = await api.hold(guest, house)
    assert refused(response, 429, "rate_limited")["transient"] is True
    done(await api.set_status(guest, held[0]["booking_id"], "CANCELLED"))
    await api.booked(guest, house)
