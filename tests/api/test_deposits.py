"""Deposits as guests and vendors meet them on their bookings, over the real stores; nobody here looks after payments."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from actors.direct_client import DirectClient
from actors.outcome import Done
from domain.booking import BookingStatus
from domain.command import Caller, Role, SetStatus
from domain.ids import BookingId
from domain.payment import Capture, capture, declined
from tests.api.driving import done, refused

PER_PERSON = {"deposit": {"kind": "per_person", "amount_minor": 700}}
SYSTEM = Caller(Role.SYSTEM, UUID(int=0))
WAIT = {"Prefer": "wait=30"}


@pytest.fixture
def desk(server):
    """What the payment desk would do, by hand."""
    if server is None:
        pytest.skip("a running server's payments are looked after by its own desk")
    return Desk(server)


class Desk:
    def __init__(self, server):
        self._store = server.money.store
        self._shard = DirectClient([server.shard])

    async def _payment(self, booked):
        return (await self._store.of_booking(BookingId(UUID(booked["booking_id"]))))[-1]

    async def decline(self, booked):
        payment = await self._payment(booked)
        await self._store.write(payment, declined(payment, 1), booking_version=booked["version"])

    async def capture(self, booked):
        """The money comes, and nobody has told the booking yet."""
        payment = await self._payment(booked)
        amount = payment.charges[0].amount_minor
        received = Capture(f"of-{payment.payment_id}", 1, amount)
        return await self._store.write(payment, capture(payment, received), booking_version=booked["version"])

    async def take(self, booked):
        """The money comes, and the booking is told."""
        payment = await self.capture(booked)
        command = SetStatus(payment.booking_id, SYSTEM, BookingStatus.CONFIRMED, booked["version"])
        outcome = await self._shard.ask(command)
        assert isinstance(outcome, Done), outcome
        return outcome.booking


def euro(amount_minor):
    return {"amount_minor": amount_minor, "currency": "EUR"}


async def status_of(api, guest, booked, **headers):
    return await api.http.get(f"/booking/{booked['booking_id']}/status", headers={**guest.headers, **headers})


async def test_the_same_payment_is_shown_wherever_the_booking_is(api, guest):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    payment = booked["payment"]
    assert (payment["status"], payment["amount"], payment["due"]) == ("pending", euro(1400), euro(1400))
    assert (payment["captured"], payment["refunded"]) == (euro(0), euro(0))
    assert payment["checkout_url"].startswith("http")
    assert await api.booking(guest, booked["booking_id"]) == booked
    assert done(await status_of(api, guest, booked))["payment_status"] == "pending"
    for who, path in ((guest, f"/bookings/user/{guest.id}"), (house, f"/bookings/vendor/{house.id}")):
        page = done(await api.http.get(path, headers=who.headers))
        assert page["items"] == [booked]


async def test_one_page_tells_the_bookings_with_a_deposit_from_those_without(api, guest):
    costly, free = await api.restaurant(policy=PER_PERSON), await api.restaurant()
    made = [await api.booked(guest, house) for house in (costly, free)]
    page = done(await api.http.get(f"/bookings/user/{guest.id}", headers=guest.headers))
    payments = {item["vendor_id"]: item["payment"] for item in page["items"]}
    assert payments == {costly.id: made[0]["payment"], free.id: None}


async def test_amending_a_hold_replaces_its_payment(api, guest):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    amended = done(await api.amend(guest, booked["booking_id"], party_size=4))
    payment = amended["payment"]
    assert payment["payment_id"] != booked["payment"]["payment_id"]
    assert (payment["status"], payment["amount"], payment["due"]) == ("pending", euro(2800), euro(2800))
    assert payment["checkout_url"] not in (None, booked["payment"]["checkout_url"])
    noted = done(await api.amend(guest, booked["booking_id"], notes="By the window"))
    assert noted["payment"] == payment
    assert await api.booking(guest, booked["booking_id"]) == noted


async def test_a_replay_is_the_first_answer_whatever_became_of_the_payment(api, guest):
    house = await api.restaurant(policy=PER_PERSON)
    key = {"Idempotency-Key": "dinner"}
    first = await api.hold(guest, house, headers=key)
    assert (await api.hold(guest, house, headers=key)).content == first.content
    await api.amend(guest, first.json()["booking_id"], party_size=4)
    await api.set_status(guest, first.json()["booking_id"], "CANCELLED")
    again = await api.hold(guest, house, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await api.booking(guest, first.json()["booking_id"]))["payment"]["status"] == "void"


async def test_what_is_cancelled_before_it_was_paid_is_void(api, guest):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    cancelled = done(await api.set_status(guest, booked["booking_id"], "CANCELLED"))
    shown = cancelled["payment"]
    assert (shown["status"], shown["due"], shown["checkout_url"]) == ("void", None, None)


async def test_many_holds_have_their_own_payments(api, guest):
    house = await api.restaurant(policy=PER_PERSON)
    item = {"vendor_id": house.id, "party_size": 2}
    items = [{**item, "starts_at": api.at(hour), "idempotency_key": f"at {hour}"} for hour in (12, 19)]
    first = done(await api.http.post("/booking/bulk", json={"bookings": items}, headers=guest.headers), 207)
    shown = [one["booking"]["payment"] for one in first["items"]]
    assert [one["due"] for one in shown] == [euro(1400)] * 2
    assert len({one["checkout_url"] for one in shown}) == 2
    again = done(await api.http.post("/booking/bulk", json={"bookings": items}, headers=guest.headers), 207)
    assert [one["booking"]["payment"] for one in again["items"]] == shown
    assert [one["replayed"] for one in again["items"]] == [True, True]


async def test_who_waits_is_answered_with_what_was_paid(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    waiting = asyncio.ensure_future(status_of(api, guest, booked, **WAIT))
    await desk.take(booked)
    told = done(await waiting)
    assert (told["status"], told["version"], told["payment_status"]) == ("CONFIRMED", 2, "captured")
    payment = (await api.booking(guest, booked["booking_id"]))["payment"]
    assert (payment["captured"], payment["due"], payment["checkout_url"]) == (euro(1400), None, None)


async def test_who_waits_is_told_of_a_decline_and_can_pay_again(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    waiting = asyncio.ensure_future(status_of(api, guest, booked, **WAIT))
    await desk.decline(booked)
    problem = refused(await waiting, 402, "payment_declined")
    assert problem["booking_id"] == booked["booking_id"]
    assert refused(await status_of(api, guest, booked, **WAIT), 402, "payment_declined") == problem
    shown = await api.booking(guest, booked["booking_id"])
    assert (shown["status"], shown["payment"]["status"]) == ("BLOCKED", "declined")
    assert shown["payment"]["checkout_url"] == booked["payment"]["checkout_url"]
    await desk.take(booked)
    waited = done(await status_of(api, guest, booked, **WAIT))
    assert (waited["status"], waited["payment_status"]) == ("CONFIRMED", "captured")


async def test_a_vendor_that_approves_by_hand_and_a_guest_who_paid(api, guest, desk):
    house = await api.restaurant(policy={**PER_PERSON, "approval": "manual"})
    booked = await api.booked(guest, house)
    paid = await desk.take(booked)
    assert (paid.status, paid.version, paid.deposit_paid) == ("BLOCKED", 2, True)
    confirmed = done(await api.set_status(house, booked["booking_id"], "CONFIRMED"))
    assert (confirmed["status"], confirmed["version"]) == ("CONFIRMED", 3)
    assert (confirmed["payment"]["status"], confirmed["payment"]["captured"]) == ("captured", euro(1400))


@pytest.fixture(params=["its vendor", "an operator"])
def approver(request, api):
    """Whoever may approve for the house."""

    def for_house(house):
        return house if request.param == "its vendor" else replace(house, headers=api.operator)

    return for_house


async def test_who_approves_what_is_shown_as_paid_waives_nothing(api, guest, desk, approver):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    await desk.capture(booked)
    shown = await api.booking(house, booked["booking_id"])
    assert (shown["status"], shown["payment"]["status"]) == ("BLOCKED", "captured")
    confirmed = done(await api.set_status(approver(house), booked["booking_id"], "CONFIRMED"))
    assert (confirmed["status"], confirmed["version"]) == ("CONFIRMED", 2)
    assert (confirmed["payment"]["status"], confirmed["payment"]["refunded"]) == ("captured", euro(0))
    assert await api.booking(guest, booked["booking_id"]) == confirmed


@pytest.mark.parametrize("headers", [{}, {"If-Match": '"1"'}])
async def test_an_approval_by_hand_of_what_is_shown_as_paid_is_told_of_the_deposit_first(
    api, guest, desk, approver, headers
):
    house = await api.restaurant(policy={**PER_PERSON, "approval": "manual"})
    booked = await api.booked(guest, house)
    await desk.capture(booked)
    confirmed = done(await api.set_status(approver(house), booked["booking_id"], "CONFIRMED", headers=headers))
    assert (confirmed["status"], confirmed["version"], confirmed["payment"]["status"]) == ("CONFIRMED", 3, "captured")
    assert await api.booking(guest, booked["booking_id"]) == confirmed


@pytest.mark.parametrize("approval", ["automatic", "manual"])
@pytest.mark.parametrize("version", [{}, {"If-Match": '"1"'}])
async def test_such_an_approval_is_replayed(api, guest, desk, approver, approval, version):
    house = await api.restaurant(policy={**PER_PERSON, "approval": approval})
    booked = await api.booked(guest, house)
    await desk.capture(booked)
    headers = {"Idempotency-Key": "approve", **version}
    first = await api.set_status(approver(house), booked["booking_id"], "CONFIRMED", headers=headers)
    again = await api.set_status(approver(house), booked["booking_id"], "CONFIRMED", headers=headers)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await api.set_status(approver(house), booked["booking_id"], "CONFIRMED", headers=headers, reason="why not")
    refused(other, 409, "idempotency_key_reused")
    fresh = {"Idempotency-Key": "once more"}
    late = await api.set_status(approver(house), booked["booking_id"], "CONFIRMED", headers=fresh)
    refused(late, 409, "illegal_transition")


async def test_the_house_waives_a_deposit_that_replaced_the_paid_one(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    await desk.capture(booked)
    done(await api.amend(guest, booked["booking_id"], party_size=4))
    confirmed = done(await api.set_status(house, booked["booking_id"], "CONFIRMED"))
    assert (confirmed["status"], confirmed["version"], confirmed["payment"]["status"]) == ("CONFIRMED", 3, "void")


async def test_nobody_who_may_not_approve_tells_of_the_deposit(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    await desk.capture(booked)
    booking_id, bill = booked["booking_id"], euro(100)
    refused(await api.set_status(await api.restaurant(), booking_id, "CONFIRMED"), 404, "not_found")
    refused(await api.set_status(guest, booking_id, "CONFIRMED"), 403, "forbidden")
    stale = await api.set_status(house, booking_id, "CONFIRMED", headers={"If-Match": '"7"'})
    refused(stale, 412, "version_conflict")
    refused(await api.set_status(house, booking_id, "CONFIRMED", bill=bill), 422, "invalid_request")
    shown = await api.booking(house, booking_id)
    assert (shown["status"], shown["version"]) == ("BLOCKED", 1)


async def test_a_replayed_amendment_shows_the_payment_that_it_made(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booking_id = (await api.booked(guest, house))["booking_id"]
    key = {"Idempotency-Key": "three of us"}
    first = await api.amend(guest, booking_id, party_size=3, headers=key)
    newest = done(await api.amend(guest, booking_id, party_size=4))
    assert newest["payment"]["payment_id"] != first.json()["payment"]["payment_id"]
    await desk.take(newest)
    again = await api.amend(guest, booking_id, party_size=3, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_an_amendment_that_costs_more_asks_for_the_difference(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    await desk.take(booked)
    amended = done(await api.amend(guest, booked["booking_id"], party_size=4))
    payment = amended["payment"]
    assert (amended["status"], payment["payment_id"]) == ("CONFIRMED", booked["payment"]["payment_id"])
    assert (payment["amount"], payment["captured"], payment["due"]) == (euro(2800), euro(1400), euro(1400))
    assert payment["checkout_url"] is not None


async def test_what_is_cancelled_after_it_was_paid_goes_back(api, guest, desk):
    house = await api.restaurant(policy=PER_PERSON)
    booked = await api.booked(guest, house)
    await desk.take(booked)
    cancelled = done(await api.set_status(house, booked["booking_id"], "CANCELLED"))
    payment = cancelled["payment"]
    assert (payment["status"], payment["due"]) == ("refund_pending", None)
    assert (payment["captured"], payment["refunded"]) == (euro(1400), euro(0))
