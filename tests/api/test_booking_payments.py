"""What the booking services show of a deposit, when they have it arranged, and how long they wait for it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from actors.outcome import Done, Trouble, Unavailable
from domain.booking import BookingStatus, Terms
from domain.booking_list import BookingPage
from domain.command import Role
from domain.money import Money
from domain.payment import Capture, PaymentId, Refund, RefundState, capture, current_of, declined, opened, payment_id_of
from domain.payment_steps import new_payment
from domain.rejection import Reason, Rejection
from domain.status import STALE, illegal
from serve_app.auth import Tokens
from serve_app.booking import BookingDeps, booking_app
from serve_app.bookings import BookingsDeps, bookings_app
from serve_app.ended import EndedBookings
from storage.errors import StoreUnavailable
from tests.api.driving import Description
from tests.api.in_process import KEYS
from tests.conformance.stores import booking
from tests.fakes.houses import guest, vendor_id

V = vendor_id(1)
TWENTY = Terms(Money(2000, "EUR"), deposit_version=1)
HELD = replace(booking(V, 1, status=BookingStatus.BLOCKED), terms=TWENTY)
CONFIRMED = replace(HELD, status=BookingStatus.CONFIRMED, version=2, hold_expires_at=None, deposit_paid=True)
CANCELLED = replace(CONFIRMED, status=BookingStatus.CANCELLED, version=3, held_slot_count=0)
RAISED = replace(CONFIRMED, terms=replace(TWENTY, deposit=Money(3000, "EUR"), deposit_version=3), version=3)
FREE = replace(booking(V, 2), terms=Terms(), deposit_waived=False)
BY_HAND = replace(booking(V, 3, status=BookingStatus.BLOCKED), terms=Terms(by_hand=True))

HOLD = {"party_size": 2, "starts_at": "2030-01-02T19:00"}
PLACE = f"/booking/vendor/{V}"
URL = f"/booking/{HELD.booking_id}"
STATUS = f"{URL}/status"
WAIT = {"Prefer": "wait=30"}


def now():
    return datetime(2026, 11, 23, 12, tzinfo=UTC)


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2020, 1, 1, tzinfo=UTC)


TOKENS = Tokens(KEYS, Validity(), now)
HEADERS = {"Authorization": f"Bearer {TOKENS.issue(Role.USER, UUID(int=guest(1).account_id.int))}"}


VENDOR_HEADERS = {"Authorization": f"Bearer {TOKENS.issue(Role.VENDOR, UUID(int=V.int))}"}


class Client:
    """A shard that answers what it is told to, first by its script: what becomes of a command, and the booking after it.

    Whoever waits does so until `settle`.
    """

    def __init__(self):
        self.outcome = Done(HELD)
        self.script = []
        self.asked = []
        self.newest = HELD
        self.waiting = 0
        self.waits = asyncio.Condition()
        self._settled = asyncio.Event()

    async def ask(self, command):
        self.asked.append(command)
        if not self.script:
            return self.outcome
        outcome, self.newest = self.script.pop(0)
        return outcome

    async def booking(self, booking_id):
        return self.newest

    async def settled(self, _booking, _seconds):
        async with self.waits:
            self.waiting += 1
            self.waits.notify_all()
        try:
            await self._settled.wait()
        finally:
            self.waiting -= 1
        return self.newest

    async def until_waiting(self, waiters=1):
        async with self.waits:
            await self.waits.wait_for(lambda: self.waiting == waiters)

    def settle(self, newest):
        self.newest = newest
        self._settled.set()


class Till:
    """Payments in memory, opened at once as a good provider does; what was asked for is written down."""

    def __init__(self):
        self.kept = {}
        self.asked = []
        self.away = False
        self.provider_away = False
        self.polled = []
        self.polls = asyncio.Condition()

    def _note(self, what):
        self.asked.append(what)
        if self.away:
            raise StoreUnavailable("the payments' database is away")

    async def arrange(self, booking):
        self._note("arrange")
        payments = self.kept.setdefault(booking.booking_id, ())
        payment = new_payment(booking, payments, "memory", now())
        if payment is not None:
            self.kept[booking.booking_id] = (*payments, payment)
        payment = current_of(self.kept[booking.booking_id])
        if payment is not None and not self.provider_away:
            payment = opened(payment, payment.charges[-1].number, "ref", url_of(payment))
            self.change(payment)
        return payment

    def change(self, payment):
        self.kept[payment.booking_id] = (*self.kept[payment.booking_id][:-1], payment)

    async def of(self, booking):
        self._note("of")
        return current_of(self.kept.get(booking.booking_id, ()))

    async def of_many(self, bookings):
        self._note(("of_many", [one.booking_id for one in bookings]))
        found = {one.booking_id: current_of(self.kept.get(one.booking_id, ())) for one in bookings}
        return {booking_id: payment for booking_id, payment in found.items() if payment is not None}

    async def agreed(self, booking):
        self._note("agreed")
        number = booking.terms.deposit_version
        return next((one for one in self.kept.get(booking.booking_id, ()) if one.number == number), None)

    async def declined(self, booking_ids):
        async with self.polls:
            self.polled.append(sorted(booking_ids))
            self.polls.notify_all()
        if self.away:
            raise StoreUnavailable("the payments' database is away")
        current = [(one, current_of(self.kept.get(one, ()))) for one in booking_ids]
        return frozenset(one for one, payment in current if payment and payment.charges[-1].state == "declined")

    async def until_polled(self, times):
        async with self.polls:
            await self.polls.wait_for(lambda: len(self.polled) >= times)


class Unasked:
    """Fails whoever asks anything at all."""

    async def _asked(self, *_about):
        raise AssertionError("payments were asked")

    arrange = of = of_many = agreed = declined = _asked


class Notes:
    def __init__(self):
        self.kept = None
        self.era = b""

    async def note(self, booking, era=b"", *, replayed=False):
        pass

    async def doubt(self, booking_id):
        pass

    async def known(self, booking_id):
        return self.kept

    async def fill(self, booking, era):
        self.kept = booking


class Lists:
    def __init__(self, *found):
        self.found = found

    async def of_user(self, user_id, chosen, **asked):
        return BookingPage(list(self.found), past_missing=False)


class Archive:
    def __init__(self, *found):
        self.found = {one.booking_id: one for one in found}

    async def by_id(self, booking_id):
        return self.found.get(booking_id)


def url_of(payment):
    return f"http://test/payment/sandbox/{payment.payment_id}"


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def money():
    return Till()


@asynccontextmanager
async def serving(app):
    """Every answer is held against what the service says of itself."""
    description = Description()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=HEADERS) as http:
        prefix = app.about.prefix
        description.add(prefix, (await http.get(f"{prefix}/openapi.json")).json())
        http.event_hooks = {"response": [description.check]}
        yield http


@pytest.fixture
async def http(client, money):
    notes = Notes()
    async with serving(
        booking_app(BookingDeps(client, TOKENS, lambda: 1, notes=notes, cached=notes, payments=money))
    ) as http:
        yield http


def euro(amount_minor):
    return {"amount_minor": amount_minor, "currency": "EUR"}


def pending(held=HELD, number=1, amount=2000, *, url=True):
    payment_id = payment_id_of(held.booking_id, number)
    return {
        "payment_id": str(payment_id),
        "status": "pending",
        "amount": euro(amount),
        "captured": euro(0),
        "refunded": euro(0),
        "due": euro(amount),
        "checkout_url": f"http://test/payment/sandbox/{payment_id}" if url else None,
    }


async def paid(money, held=HELD, amount=2000):
    payment = await money.arrange(held)
    payment = capture(payment, Capture("c1", 1, amount))
    money.change(payment)
    return payment


async def refused(money, held=HELD):
    payment = await money.arrange(held)
    money.change(declined(payment, 1))


async def place(http, **headers):
    return await http.post(PLACE, json=HOLD, headers=headers)


async def test_a_hold_with_a_deposit_says_where_to_pay(http, money):
    answer = await place(http)
    assert (answer.status_code, answer.json()["status"]) == (201, "BLOCKED")
    assert answer.json()["payment"] == pending()
    assert money.asked == ["arrange"]


async def test_of_many_holds_each_has_its_payment(http, client, money):
    answer = await http.post("/booking/bulk", json={"bookings": [{"vendor_id": str(V), **HOLD}] * 2})
    assert [item["booking"]["payment"] for item in answer.json()["items"]] == [pending()] * 2
    assert money.asked == ["arrange"] * 2


@pytest.mark.parametrize("trouble", ["away", "provider_away"])
async def test_a_hold_stands_though_its_payment_cannot_be_arranged_now(http, money, trouble):
    setattr(money, trouble, True)
    answer = await place(http)
    assert (answer.status_code, answer.json()["payment"]) == (201, pending(url=False))


@pytest.mark.parametrize("booked", [FREE, BY_HAND])
async def test_nobody_asks_about_payments_of_a_booking_without_a_deposit(client, booked):
    client.outcome, client.newest = Done(booked), booked
    client.settle(booked)
    url = f"/booking/{booked.booking_id}"
    async with serving(booking_app(BookingDeps(client, TOKENS, lambda: 1, payments=Unasked()))) as http:
        answers = [
            await place(http),
            await place(http, **WAIT),
            await http.get(url),
            await http.get(f"{url}/status"),
            await http.get(f"{url}/status", headers=WAIT),
            await http.put(url, json={"notes": "x"}),
            await http.put(f"{url}/status", json={"status": "CANCELLED"}),
            await http.post("/booking/bulk", json={"bookings": [{"vendor_id": str(V), **HOLD}]}),
        ]
    assert all(answer.is_success for answer in answers)
    assert {answer.json().get("payment") for answer in answers} == {None}
    assert {answer.json().get("payment_status") for answer in answers} == {None}


async def test_a_replayed_hold_shows_the_payment_as_it_was_first(http, client, money):
    first = (await place(http)).json()
    await paid(money)
    client.outcome, client.newest = Done(HELD, replayed=True), CONFIRMED
    again = await place(http)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first
    assert (await http.get(URL)).json()["payment"]["status"] == "captured"


async def test_a_replayed_hold_whose_payment_was_replaced_shows_the_first(http, client, money):
    first = (await place(http)).json()
    amended = replace(HELD, version=2, terms=replace(TWENTY, deposit=Money(3000, "EUR"), deposit_version=2))
    assert (await money.arrange(amended)).number == 2
    client.outcome, client.newest = Done(HELD, replayed=True), amended
    assert (await place(http)).json() == first
    assert money.asked[-1] == "agreed"


async def test_a_replay_makes_up_for_a_crash_between_hold_and_payment(http, client, money):
    client.outcome = Done(HELD, replayed=True)
    assert (await place(http)).json()["payment"] == pending()
    assert money.asked == ["agreed", "arrange"]


async def test_a_replay_opens_what_the_provider_was_away_for(http, client, money):
    money.provider_away = True
    await place(http)
    money.provider_away = False
    client.outcome = Done(HELD, replayed=True)
    assert (await place(http)).json()["payment"] == pending()


@pytest.mark.parametrize("newest", [CANCELLED, None])
async def test_a_replay_asks_for_no_money_for_what_is_over(http, client, money, newest):
    client.outcome, client.newest = Done(HELD, replayed=True), newest
    assert (await place(http)).json()["payment"] == pending(url=False)
    assert money.asked == ["agreed"]


async def test_a_read_shows_the_payment_as_it_is_though_the_booking_is_cached(http, client, money):
    await money.arrange(HELD)
    assert (await http.get(URL)).json()["payment"] == pending()
    client.newest = None  # from here on only the cache knows
    await refused(money)
    shown = (await http.get(URL)).json()
    assert (shown["version"], shown["payment"]) == (1, pending() | {"status": "declined"})
    assert (await http.get(STATUS)).json()["payment_status"] == "declined"
    await paid(money)
    shown = (await http.get(URL)).json()["payment"]
    assert (shown["status"], shown["captured"], shown["due"], shown["checkout_url"]) == (
        "captured",
        euro(2000),
        None,
        None,
    )


async def test_a_hold_whose_payment_is_not_written_yet_owes_it_already(http):
    assert (await http.get(URL)).json()["payment"] == pending(url=False)


async def test_a_hold_that_was_amended_just_now_owes_the_new_deposit(http, client, money):
    await money.arrange(HELD)
    client.newest = replace(HELD, version=2, terms=replace(TWENTY, deposit=Money(3000, "EUR"), deposit_version=2))
    assert (await http.get(URL)).json()["payment"] == pending(number=2, amount=3000, url=False)


async def test_a_deposit_that_was_waived_before_it_came_is_void(http, client, money):
    await money.arrange(HELD)
    client.newest = replace(CONFIRMED, deposit_paid=False, deposit_waived=True)
    shown = (await http.get(URL)).json()["payment"]
    assert (shown["status"], shown["due"], shown["checkout_url"]) == ("void", None, None)


async def test_who_cannot_know_the_payment_says_so(http, money):
    money.away = True
    for answer in (await http.get(URL), await http.get(STATUS)):
        assert (answer.status_code, answer.json()["code"]) == (503, "dependency_unavailable")


async def test_a_change_has_its_payment_arranged(http, client, money):
    await paid(money)
    money.asked.clear()
    client.outcome = Done(RAISED)
    shown = (await http.put(URL, json={"party_size": 3})).json()["payment"]
    assert (shown["due"], shown["captured"]) == (euro(1000), euro(2000))
    client.outcome = Done(CANCELLED)
    shown = (await http.put(STATUS, json={"status": "CANCELLED"})).json()["payment"]
    assert (shown["due"], shown["captured"]) == (None, euro(2000))
    assert money.asked == ["arrange"] * 2


async def test_a_change_stands_though_its_payment_cannot_be_arranged_now(http, client, money):
    money.away = True
    client.outcome = Done(CANCELLED)
    answer = await http.put(STATUS, json={"status": "CANCELLED"})
    assert (answer.status_code, answer.json()["payment"]) == (200, None)


async def test_a_replayed_change_arranges_nothing(http, client, money):
    await money.arrange(HELD)
    money.asked.clear()
    client.outcome = Done(RAISED, replayed=True)
    await http.put(URL, json={"party_size": 3})
    assert money.asked == ["of"]


@pytest.mark.parametrize("answer", ["a replay", "a list"])
async def test_an_older_form_of_the_booking_owes_nothing_after_its_end(client, money, answer):
    """Else a booking whose deposit went back would be shown as one that is yet to be paid."""
    payment = await paid(money)
    gone_back = replace(payment, refunds=(Refund(1, "c1", 2000, RefundState.DONE),), settled_version=CANCELLED.version)
    money.change(gone_back)
    if answer == "a list":
        async with listing(money, CONFIRMED) as http:
            shown = (await http.get(f"/bookings/user/{HELD.user_id}")).json()["items"][0]["payment"]
    else:
        client.outcome = Done(CONFIRMED, replayed=True)
        async with serving(booking_app(BookingDeps(client, TOKENS, lambda: 1, payments=money))) as http:
            shown = (await http.put(STATUS, json={"status": "CANCELLED"})).json()["payment"]
    assert (shown["status"], shown["refunded"], shown["due"]) == ("refunded", euro(2000), None)


async def test_a_replayed_amendment_shows_the_payment_as_it_was_first(http, client, money):
    client.newest = amended = replace(
        HELD, version=2, terms=replace(TWENTY, deposit=Money(3000, "EUR"), deposit_version=2)
    )
    client.outcome = Done(amended)
    await money.arrange(HELD)
    first = (await http.put(URL, json={"party_size": 3})).json()
    assert first["payment"] == pending(number=2, amount=3000)
    later = replace(amended, version=3, terms=replace(TWENTY, deposit=Money(4000, "EUR"), deposit_version=3))
    await paid(money, later, 4000)
    client.outcome, client.newest = Done(amended, replayed=True), replace(later, status=BookingStatus.CONFIRMED)
    assert (await http.put(URL, json={"party_size": 3})).json() == first


async def test_a_replayed_amendment_makes_up_for_a_crash_and_never_shows_an_older_checkout(http, client, money):
    await money.arrange(HELD)
    amended = replace(HELD, version=2, terms=replace(TWENTY, deposit=Money(3000, "EUR"), deposit_version=2))
    client.outcome, client.newest = Done(amended, replayed=True), CANCELLED
    assert (await http.put(URL, json={"party_size": 3})).json()["payment"] == pending(number=2, amount=3000, url=False)
    client.newest = amended
    assert (await http.put(URL, json={"party_size": 3})).json()["payment"] == pending(number=2, amount=3000)


async def test_a_replay_shows_the_payment_of_its_own_version_and_none_that_replaced_it(http, client, money):
    """A hold that was paid, noted, and then amended before the house approved it: what was paid went back."""
    noted = replace(HELD, version=3, terms=replace(TWENTY, by_hand=True), deposit_paid=True)
    gone_back = replace(await paid(money), refunds=(Refund(1, "c1", 2000, RefundState.DONE),))
    money.change(gone_back)
    raised = replace(noted, version=4, deposit_paid=False, terms=Terms(Money(3000, "EUR"), deposit_version=4))
    await money.arrange(raised)
    client.outcome = Done(noted, replayed=True)
    shown = (await http.put(URL, json={"notes": "By the window"})).json()["payment"]
    assert (shown["payment_id"], shown["status"]) == (str(payment_id_of(HELD.booking_id, 1)), "refunded")
    assert (shown["refunded"], shown["due"], shown["checkout_url"]) == (euro(2000), None, None)


NOTED = replace(HELD, version=2)
DEAD = Rejection(Reason.HOLD_EXPIRED, "")
AWAY = Unavailable(Trouble.OUTCOME_UNKNOWN, "")


async def approve(http, **headers):
    return await http.put(STATUS, json={"status": "CONFIRMED"}, headers={**VENDOR_HEADERS, **headers})


def told(client):
    """By whom, and for which version."""
    return [(command.caller.role, command.expected_version) for command in client.asked]


async def test_an_approval_tells_of_the_deposit_that_is_there(http, client, money):
    await paid(money)
    client.outcome = Done(CONFIRMED)
    assert (await approve(http)).json()["payment"]["status"] == "captured"
    assert told(client) == [(Role.SYSTEM, 1)]


async def test_an_approval_tells_of_it_again_where_the_guest_changed_something_else_meanwhile(http, client, money):
    await paid(money)
    client.script = [(STALE, NOTED), (Done(replace(CONFIRMED, version=3)), CONFIRMED)]
    assert (await approve(http)).status_code == 200
    assert told(client) == [(Role.SYSTEM, 1), (Role.SYSTEM, 2)]


async def test_an_approval_gives_up_telling_somebody_who_changes_all_the_time(http, client, money):
    await paid(money)
    client.script = [(STALE, replace(HELD, version=version)) for version in (2, 3, 4)]
    client.outcome = Done(replace(CONFIRMED, version=5))
    assert (await approve(http)).status_code == 200
    assert told(client) == [(Role.SYSTEM, 1), (Role.SYSTEM, 2), (Role.SYSTEM, 3), (Role.VENDOR, None)]


async def test_an_approval_waits_where_nobody_knows_whether_the_deposit_was_told_of(http, client, money):
    """Going on would waive it."""
    await paid(money)
    client.outcome = AWAY
    assert (await approve(http)).status_code == 503
    assert told(client) == [(Role.SYSTEM, 1)]


async def test_an_approval_that_comes_too_late_is_told_so(http, client, money):
    await paid(money)
    client.outcome = DEAD
    assert (await approve(http)).json()["code"] == "hold_expired"
    assert told(client) == [(Role.SYSTEM, 1), (Role.VENDOR, None)]


@pytest.mark.parametrize("trouble", ["unpaid", "away", "too little", "replaced", "another currency"])
async def test_an_approval_waives_a_deposit_that_nobody_knows_to_be_there(http, client, money, trouble):
    await (paid(money, amount=1999) if trouble == "too little" else money.arrange(HELD))
    if trouble == "away":
        await paid(money)
        money.away = True
    if trouble == "another currency":
        money.change(replace(await paid(money), currency="USD"))
    if trouble == "replaced":
        await paid(money)
        client.newest = replace(HELD, version=2, terms=replace(TWENTY, deposit_version=2))
    client.outcome = Done(replace(CONFIRMED, deposit_paid=False, deposit_waived=True))
    assert (await approve(http)).status_code == 200
    assert told(client) == [(Role.VENDOR, None)]


@pytest.mark.parametrize("after", [CONFIRMED, RAISED, replace(CANCELLED, deposit_paid=False)])
async def test_an_approval_is_looked_for_where_telling_of_the_deposit_is_remembered(http, client, money, after):
    await paid(money)
    client.script = [(illegal(after, BookingStatus.CONFIRMED), after), (Done(CONFIRMED, replayed=True), after)]
    client.newest = after
    answer = await approve(http, **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert told(client) == [(Role.VENDOR, None), (Role.SYSTEM, 0)]
    own, remembered = (command.once for command in client.asked)
    assert own.fingerprint == remembered.fingerprint
    assert own.key != remembered.key


async def test_an_approval_by_hand_keeps_its_key_for_itself(http, client, money):
    """The guest may amend and pay anew before the vendor tries again: then the shard is to be told anew."""
    await paid(money)
    client.newest = waiting = replace(HELD, terms=replace(TWENTY, by_hand=True))
    client.script = [(Done(replace(waiting, version=2, deposit_paid=True)), waiting)]
    client.outcome = Done(replace(CONFIRMED, version=3))
    assert (await approve(http, **{"Idempotency-Key": "k", "If-Match": '"1"'})).json()["version"] == 3
    assert told(client) == [(Role.SYSTEM, 1), (Role.VENDOR, 2)]
    assert [command.once and command.once.key for command in client.asked] == [None, "k"]


async def test_an_approval_of_what_was_never_to_be_paid_asks_about_no_payments(client):
    url = f"/booking/{BY_HAND.booking_id}/status"
    client.newest, client.outcome = BY_HAND, Done(replace(BY_HAND, status=BookingStatus.CONFIRMED))
    async with serving(booking_app(BookingDeps(client, TOKENS, lambda: 1, payments=Unasked()))) as http:
        headers = {**VENDOR_HEADERS, "Idempotency-Key": "k"}
        assert (await http.put(url, json={"status": "CONFIRMED"}, headers=headers)).status_code == 200
    assert told(client) == [(Role.VENDOR, None)]


async def test_who_waits_is_answered_once_it_is_paid(http, client, money):
    answer = asyncio.ensure_future(place(http, **WAIT))
    await client.until_waiting()
    await paid(money)
    client.settle(CONFIRMED)
    shown = (await answer).json()
    assert (shown["status"], shown["payment"]["status"]) == ("CONFIRMED", "captured")
    assert client.waiting == 0


async def test_who_waits_in_vain_is_shown_the_hold(http, client):
    client.settle(HELD)
    answer = await place(http, **WAIT)
    assert (answer.status_code, answer.json()["payment"]) == (201, pending())


@pytest.mark.parametrize("ask", [lambda http: place(http, **WAIT), lambda http: http.get(STATUS, headers=WAIT)])
async def test_who_waits_hears_that_the_payment_was_declined(http, client, money, ask):
    answer = asyncio.ensure_future(ask(http))
    await client.until_waiting()
    await refused(money)
    told = await answer
    assert (told.status_code, told.headers["content-type"]) == (402, "application/problem+json")
    assert told.json()["code"] == "payment_declined"
    assert told.json()["booking_id"] == str(HELD.booking_id)
    assert told.json()["transient"] is False
    assert client.waiting == 0


async def test_who_waits_for_what_was_declined_before_hears_it_at_once(http, client, money):
    await refused(money)
    told = await http.get(STATUS, headers=WAIT)
    assert (told.status_code, told.json()["booking_id"]) == (402, str(HELD.booking_id))
    assert money.polled == []
    assert (await http.get(STATUS)).json()["payment_status"] == "declined"


async def test_a_replay_after_a_decline_carries_the_first_answer(http, client, money):
    answer = asyncio.ensure_future(place(http, **WAIT))
    await client.until_waiting()
    await refused(money)
    assert (await answer).status_code == 402
    client.outcome = Done(HELD, replayed=True)
    for headers in ({}, WAIT):
        again = await place(http, **headers)
        assert (again.status_code, again.json()["payment"]) == (201, pending())
        assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_replay_that_waits_while_it_is_declined_hears_it(http, client, money):
    await place(http)
    client.outcome = Done(HELD, replayed=True)
    answer = asyncio.ensure_future(place(http, **WAIT))
    await client.until_waiting()
    await refused(money)
    assert (await answer).status_code == 402


async def test_what_is_paid_and_waits_for_the_vendor_is_not_asked_about(http, client, money):
    await paid(money)
    approved = replace(HELD, version=2, terms=replace(TWENTY, by_hand=True), deposit_paid=True)
    client.newest = approved
    answer = asyncio.ensure_future(http.get(STATUS, headers=WAIT))
    await client.until_waiting()
    client.settle(replace(CONFIRMED, version=3))
    assert (await answer).json()["status"] == "CONFIRMED"
    assert money.polled == []


async def test_any_number_of_waiters_ask_one_question(http, client, money):
    answers = [asyncio.ensure_future(http.get(STATUS, headers=WAIT)) for _ in range(20)]
    await client.until_waiting(20)
    seen = len(money.polled)
    await money.until_polled(seen + 2)
    assert money.polled[-1] == [HELD.booking_id]
    client.settle(CONFIRMED)
    assert {(await answer).status_code for answer in answers} == {200}


async def test_a_poll_that_fails_is_tried_again(http, client, money):
    answer = asyncio.ensure_future(place(http, **WAIT))
    await client.until_waiting()
    money.away = True
    await money.until_polled(len(money.polled) + 2)
    money.away = False
    await refused(money)
    assert (await answer).status_code == 402


async def test_who_leaves_waits_no_longer(http, client, money):
    answer = asyncio.ensure_future(http.get(STATUS, headers=WAIT))
    await client.until_waiting()
    answer.cancel()
    await asyncio.wait([answer])
    assert client.waiting == 0


async def test_an_archived_booking_still_shows_its_payment(money):
    await paid(money)
    money.change(replace(current_of(money.kept[HELD.booking_id]), kept_minor=2000))
    client = Client()
    client.newest = None
    missing = replace(CONFIRMED, status=BookingStatus.NO_SHOW, version=3)
    ended = EndedBookings(Archive(missing), Archive(), now)
    async with serving(booking_app(BookingDeps(client, TOKENS, lambda: 1, ended=ended, payments=money))) as http:
        shown = (await http.get(URL)).json()
    assert (shown["status"], shown["payment"]["status"]) == ("NO_SHOW", "kept")


def listing(money, *found):
    return serving(bookings_app(BookingsDeps(Lists(*found), Archive(), TOKENS, now, payments=money)))


async def test_a_page_asks_once_for_all_its_payments(money):
    other = replace(booking(V, 4, status=BookingStatus.BLOCKED), terms=TWENTY)
    beyond = replace(booking(V, 5, status=BookingStatus.BLOCKED), terms=TWENTY)
    await paid(money)
    money.asked.clear()
    async with listing(money, CONFIRMED, FREE, other, beyond) as http:
        page = (await http.get(f"/bookings/user/{HELD.user_id}?limit=3")).json()
    first, free, missing = (item["payment"] for item in page["items"])
    assert (first["status"], free, missing) == ("captured", None, pending(other, url=False))
    assert money.asked == [("of_many", [CONFIRMED.booking_id, other.booking_id])]


async def test_a_page_without_deposits_asks_nobody():
    async with listing(Unasked(), FREE, BY_HAND) as http:
        page = (await http.get(f"/bookings/user/{HELD.user_id}")).json()
    assert [item["payment"] for item in page["items"]] == [None, None]


async def test_where_nothing_is_ever_paid_no_booking_has_a_payment(client):
    client.settle(HELD)
    async with serving(booking_app(BookingDeps(client, TOKENS, lambda: 1))) as http:
        assert (await place(http, **WAIT)).json()["payment"] is None
        assert (await http.get(URL)).json()["payment"] is None
        assert (await http.get(STATUS, headers=WAIT)).json()["payment_status"] is None


def test_the_payments_id_is_the_bookings_and_the_versions():
    assert isinstance(payment_id_of(HELD.booking_id, 1), UUID)
    assert PaymentId(payment_id_of(HELD.booking_id, 1)) != payment_id_of(HELD.booking_id, 2)
