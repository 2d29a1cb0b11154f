"""Guests are told once of each event, in their language and the house's time, through a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from uuid import UUID

import asyncpg
import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.event import BookingHappened, PaymentRefunded
from consumers.mail.letter import Letter, written
from consumers.notifier import STOPS_MAX, Notifier, NotifierDeps
from consumers.second_post import TRIES_MAX, SecondPost, wait_after
from domain.booking import Booking, BookingStatus
from domain.command import CreateVendor
from domain.decide import decide_hold
from domain.decide_vendor import decide_create
from domain.event import HoldPlaced, VendorCreated
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.user import User
from domain.vendor import Vendor
from domain.vendor_state import VendorState
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from storage.mail import Envelope, FolderMailer, Mailer, mailer_of, sealed
from storage.notifications import NotificationKey, NotificationLog
from storage.postgres import Database
from tests.consumers.smtp_server import Postbox, smtp_server
from tests.fakes.houses import OPENED, hold, hotel, restaurant, stay, vendor_id

AT_ONCE = 4
TOLD_WITHIN = timedelta(days=97)
KEEP = TOLD_WITHIN + timedelta(days=1)
GUEST = User(UserId(UUID(int=7)), 1, "ann@example.org", "Ann Özil", OPENED, OPENED, None, "en-GB")


@dataclass
class People:
    """The guests and vendors that there are."""

    guest: User | None
    vendor: Vendor
    others: dict[UserId, User] = field(default_factory=dict)

    async def user_by_id(self, user_id: UserId) -> User | None:
        return self.others.get(user_id, self.guest)

    async def by_id(self, vendor_id: VendorId) -> Vendor | None:
        return self.vendor


def decided(vendor: Vendor) -> Vendor:
    made = decide_create(CreateVendor(vendor, "house@example.org", ""), now=OPENED)
    assert isinstance(made, VendorCreated)
    return made.vendor


HOUSE = decided(
    replace(restaurant(vendor_id(1)), name="Café <Zoë>", address="Weg 1", phone="+49 1", time_zone="Europe/Berlin")
)


def booked(vendor: Vendor = HOUSE) -> Booking:
    command = hold(vendor.vendor_id) if vendor.services else stay(vendor.vendor_id, date(2027, 3, 1), date(2027, 3, 4))
    placed = decide_hold(VendorState.of(vendor, [], {}), command, now=OPENED)
    assert isinstance(placed, HoldPlaced)
    return placed.booking


def happened(topic: Topic, booking: Booking) -> BookingHappened:
    return BookingHappened(f"{topic}-{booking.version}", topic, booking)


def cancelled(booking: Booking, reason: str | None = None) -> Booking:
    return replace(
        booking, status=BookingStatus.CANCELLED, version=booking.version + 1, held_slot_count=0, cancel_reason=reason
    )


def part(message: EmailMessage, content_type: str) -> str:
    found = next(part for part in message.walk() if part.get_content_type() == content_type)
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def event_of(message: EmailMessage) -> tuple[str, icalendar.Event]:
    calendar = icalendar.Calendar.from_ical(part(message, "text/calendar"))
    assert isinstance(calendar, icalendar.Calendar)
    (event,) = calendar.events
    return str(calendar["method"]), event


@dataclass
class Bench:
    """A notifier over a real database and a real SMTP server."""

    postbox: Postbox
    notifier: Notifier
    people: People
    log: NotificationLog

    async def tell(self, topic: Topic, booking: Booking) -> None:
        await self.notifier.handle([happened(topic, booking)])


@pytest.fixture
async def database_pool(database: str) -> AsyncIterator[Database]:
    pool = Database(database, "test", 2)
    yield pool
    await pool.close()


@pytest.fixture
async def postbox(free_port: int) -> AsyncIterator[Postbox]:
    made = Postbox(free_port)
    with smtp_server(made):
        yield made


@pytest.fixture
async def mailer(postbox: Postbox, tmp_path: Path) -> AsyncIterator[Mailer]:
    made = mailer_of(postbox.url, tmp_path, AT_ONCE)
    yield made
    await made.close()


@pytest.fixture
async def desk(database_pool: Database, postbox: Postbox, mailer: Mailer) -> Bench:
    return bench(database_pool, postbox, mailer)


def bench(pool: Database, postbox: Postbox, mailer: Mailer) -> Bench:
    people = People(GUEST, HOUSE)
    log = NotificationLog(pool)
    return Bench(postbox, Notifier(deps(mailer, log, people)), people, log)


def deps(mailer: Mailer, log: NotificationLog, people: People, *, letters_at_once: int = AT_ONCE) -> NotifierDeps:
    sender = "Holdfast <no-reply@example.com>"
    return NotifierDeps(mailer, log, people, people, sender, lambda: OPENED, TOLD_WITHIN, letters_at_once)


async def test_a_confirmed_booking_is_told_with_an_invitation(desk: Bench) -> None:
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    (message,) = desk.postbox.taken
    assert message["Subject"] == "Your table at Café <Zoë> on 24 December 2026 is confirmed"
    assert message["To"] == "Ann Özil <ann@example.org>"
    assert message["From"] == "Café Zoë <no-reply@example.com>"
    text = part(message, "text/plain")
    assert "Thursday, 24 December 2026, 19:00" in text, "the house's own time, an hour after UTC"
    assert "2 guests" in text
    html = part(message, "text/html")
    assert "Café &lt;Zoë&gt;" in html
    assert "<Zoë>" not in html
    method, event = event_of(message)
    assert method == "REQUEST"
    assert event["uid"] == f"{booking.booking_id}@holdfast"
    assert event["sequence"] == 0
    assert event["dtstart"].dt == booking.starts_at
    assert event["dtstart"].dt.tzinfo.key == "Europe/Berlin"
    assert event["dtend"].dt == booking.ends_at
    assert event["status"] == "CONFIRMED"


async def test_a_german_guest_reads_german(desk: Bench) -> None:
    desk.people.guest = replace(GUEST, locale="de-AT")
    await desk.tell(Topic.NEW_BOOKING, booked())
    (message,) = desk.postbox.taken
    assert message["Subject"] == "Ihr Tisch im Café <Zoë> am 24. Dezember 2026 ist bestätigt"
    assert message["Content-Language"] == "de-AT"
    assert "Donnerstag, 24. Dezember 2026, 19:00" in part(message, "text/plain")
    assert '<html lang="de-AT">' in part(message, "text/html")


@pytest.mark.parametrize("tag", [None, "", "tlh", "no such tag", "fr-FR", "../../etc"])
async def test_who_has_no_catalogue_reads_english(desk: Bench, tag: str | None) -> None:
    desk.people.guest = replace(GUEST, locale=tag)
    await desk.tell(Topic.NEW_BOOKING, booked())
    assert "is confirmed" in desk.postbox.taken[0]["Subject"]


async def test_a_stay_is_told_with_its_nights(desk: Bench) -> None:
    desk.people.vendor = decided(replace(hotel(vendor_id(2)), name="Hotel Test"))
    booking = booked(desk.people.vendor)
    await desk.tell(Topic.NEW_BOOKING, booking)
    text = part(desk.postbox.taken[0], "text/plain")
    assert desk.postbox.taken[0]["Subject"] == "Your stay at Hotel Test from 1 March 2027 is confirmed"
    assert "Check-in: Monday, 1 March 2027, 15:00" in text
    assert "Check-out: Thursday, 4 March 2027, 11:00" in text
    assert "1 room\n" in text


async def test_an_amended_booking_moves_the_invitation(desk: Bench) -> None:
    booking = booked()
    later = replace(
        booking,
        version=2,
        starts_at=booking.starts_at + timedelta(hours=1),
        ends_at=booking.ends_at + timedelta(hours=1),
    )
    await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.BOOKING_AMENDED, later)
    _, first = event_of(desk.postbox.taken[0])
    method, second = event_of(desk.postbox.taken[1])
    assert method == "REQUEST"
    assert second["uid"] == first["uid"]
    assert second["sequence"] > first["sequence"]
    assert second["dtstart"].dt == later.starts_at


async def test_a_cancelled_booking_takes_the_invitation_back(desk: Bench) -> None:
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking, "We are ill."))
    message = desk.postbox.taken[1]
    assert "We are ill." in part(message, "text/plain")
    method, event = event_of(message)
    assert method == "CANCEL"
    assert event["uid"] == f"{booking.booking_id}@holdfast"
    assert event["sequence"] == 1
    assert event["status"] == "CANCELLED"


async def test_what_was_never_an_invitation_is_not_taken_back(desk: Bench) -> None:
    blocked = replace(booked(), status=BookingStatus.BLOCKED)
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(blocked))
    assert [p.get_content_type() for p in desk.postbox.taken[0].iter_parts()] == ["text/plain", "text/html"]


async def test_an_invitation_that_came_with_a_change_is_taken_back_too(desk: Bench) -> None:
    """Topics have no common order: `new_booking` may come last."""
    booking = booked()
    await desk.tell(Topic.BOOKING_AMENDED, replace(booking, version=2))
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(replace(booking, version=2)))
    method, event = event_of(desk.postbox.taken[1])
    assert (method, event["sequence"]) == ("CANCEL", 2)


async def test_a_hold_that_was_changed_is_told_to_no_guest(desk: Bench) -> None:
    blocked = replace(booked(), status=BookingStatus.BLOCKED, version=2)
    await desk.tell(Topic.BOOKING_AMENDED, blocked)
    assert desk.postbox.taken == []
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(blocked))
    assert [p.get_content_type() for p in desk.postbox.taken[0].iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("starts", "ends", "start_line", "end_line"),
    [
        ("00:30", "01:30", "DTSTART;TZID=Europe/Berlin:20261025T023000", "DTEND:20261025T013000Z"),
        ("01:30", "02:30", "DTSTART:20261025T013000Z", "DTEND;TZID=Europe/Berlin:20261025T033000"),
    ],
)
async def test_the_hour_that_comes_twice_is_told_apart(
    desk: Bench, starts: str, ends: str, start_line: str, end_line: str
) -> None:
    first, last = (datetime.fromisoformat(f"2026-10-25T{time}").replace(tzinfo=UTC) for time in (starts, ends))
    await desk.tell(Topic.NEW_BOOKING, replace(booked(), starts_at=first, ends_at=last))
    (message,) = desk.postbox.taken
    assert {start_line, end_line} < set(part(message, "text/calendar").splitlines())
    _, event = event_of(message)
    # By their seconds: Python calls no two zones' times equal in that hour.
    assert [event[name].dt.timestamp() for name in ("dtstart", "dtend")] == [first.timestamp(), last.timestamp()]


async def test_an_expired_hold_is_told_without_a_calendar_file(desk: Bench) -> None:
    expired = replace(booked(), status=BookingStatus.EXPIRED, version=2, held_slot_count=0)
    await desk.tell(Topic.BOOKING_EXPIRED, expired)
    (message,) = desk.postbox.taken
    assert "has ended" in message["Subject"]
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]


def refunded(booking: Booking, payment_number: int = 1, refund_number: int = 1) -> PaymentRefunded:
    name = f"{payment_number}-{refund_number}"
    money = Money(2050, "EUR")
    return PaymentRefunded(name, Topic.PAYMENT_REFUNDED, booking, payment_number, refund_number, money, OPENED)


async def test_money_that_went_back_is_told_once_and_without_a_calendar_file(desk: Bench) -> None:
    """It is told again with whatever the booking is by then."""
    booking = booked()
    await desk.notifier.handle([refunded(booking)])
    await desk.notifier.handle([refunded(cancelled(booking))])
    (message,) = desk.postbox.taken
    assert message["Subject"] == "Your payment to Café <Zoë> went back to you"
    assert message["Message-ID"] == f"<{booking.booking_id}.1-1.refund@holdfast>"
    assert "€20.50" in part(message, "text/plain")
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]


async def test_each_refund_is_told_whatever_else_was_told_of_the_booking(desk: Bench) -> None:
    booking = booked()
    await desk.notifier.handle([refunded(booking, 3)])
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
    await desk.notifier.handle([refunded(booking, 1), refunded(booking, 1, 2)])
    assert len(desk.postbox.taken) == 4


async def test_a_german_guest_reads_of_money_in_german(desk: Bench) -> None:
    desk.people.guest = replace(GUEST, locale="de-DE")
    await desk.notifier.handle([refunded(booked())])
    (message,) = desk.postbox.taken
    assert "Ihre Zahlung über 20,50\xa0€ wird" in part(message, "text/plain")


async def test_delivered_again_it_is_not_told_again(desk: Bench) -> None:
    booking = booked()
    for _ in range(3):
        await desk.tell(Topic.NEW_BOOKING, booking)
    assert len(desk.postbox.taken) == 1


async def test_a_crash_before_the_note_sends_the_same_message_id_again(desk: Bench) -> None:
    booking = booked()
    await desk.log.begin(NotificationKey(booking.booking_id, 1, Topic.NEW_BOOKING, "email"))
    await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.NEW_BOOKING, booking)
    assert [message["Message-ID"] for message in desk.postbox.taken] == [
        f"<{booking.booking_id}.1.new_booking@holdfast>"
    ]


async def test_an_older_version_that_comes_late_is_not_told(desk: Bench) -> None:
    booking = booked()
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
    await desk.tell(Topic.NEW_BOOKING, booking)
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["cancelled"]


async def test_a_batch_is_told_in_the_order_in_which_it_happened(desk: Bench) -> None:
    booking = booked()
    events = [happened(Topic.BOOKING_CANCELLED, cancelled(booking)), happened(Topic.NEW_BOOKING, booking)]
    await desk.notifier.handle(events)
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["confirmed", "cancelled"]


async def test_letters_of_different_bookings_go_out_side_by_side(desk: Bench) -> None:
    desk.postbox.seconds = 0.3
    bookings = [booked() for _ in range(3 * AT_ONCE)]
    await desk.notifier.handle([happened(Topic.NEW_BOOKING, booking) for booking in bookings])
    assert sorted(ids(desk)) == sorted(map(message_id, bookings))
    assert desk.postbox.at_once_max == len(desk.postbox.clients) == AT_ONCE


async def test_letters_of_one_booking_stay_in_their_order(desk: Bench) -> None:
    desk.postbox.seconds = 0.05
    first, second = booked(), booked()
    versions = [replace(booking, version=version) for version in (4, 2, 3) for booking in (first, second)]
    events = [happened(Topic.BOOKING_AMENDED, booking) for booking in versions]
    await desk.notifier.handle([*events, happened(Topic.NEW_BOOKING, first), *events])
    numbers = [
        event_of(message)[1]["sequence"]
        for message in desk.postbox.taken
        if str(first.booking_id) in message["Message-ID"]
    ]
    assert numbers == [0, 1, 2, 3]
    assert (len(desk.postbox.taken), desk.postbox.at_once_max) == (7, 2)


async def test_while_there_is_little_to_tell_one_connection_is_enough(desk: Bench) -> None:
    for _ in range(AT_ONCE):
        await desk.tell(Topic.NEW_BOOKING, booked())
    assert len(desk.postbox.clients) == 1


async def test_an_error_lets_those_under_way_finish_and_no_other_begin(desk: Bench, database: str) -> None:
    desk.postbox.seconds = 0.5
    bad, good = booked_by_the_unwanted(desk), [booked() for _ in range(3 * AT_ONCE)]
    events = [happened(Topic.NEW_BOOKING, booking) for booking in (bad, *good)]
    with pytest.raises(StoreUnavailable):
        await desk.notifier.handle(events)
    under_way = {booking.booking_id: ("sent", None) for booking in good[: AT_ONCE - 1]}
    assert await states(database) == under_way | {bad.booking_id: ("begun", None)}
    desk.postbox.seconds = 0.0
    await told_in_the_end(desk, [bad, *good])
    assert sorted(ids(desk)) == sorted(map(message_id, good))


async def test_that_a_store_is_away_is_said_before_any_other_error(desk: Bench, mailer: Mailer) -> None:
    away = asyncio.Event()

    async def fail(letter: Envelope) -> None:
        if letter.recipient == GUEST.email:
            await away.wait()
            raise UnicodeEncodeError("ascii", "\udcc3", 0, 1, "no such letter")
        away.set()
        raise StoreUnavailable("no server")

    other = replace(GUEST, user_id=UserId(UUID(int=8)), email="bo@example.org")
    desk.people.others[other.user_id] = other
    notifier = Notifier(deps(Watched(mailer, fail), desk.log, desk.people))
    bookings = [booked(), replace(booked(), user_id=other.user_id)]
    with pytest.raises(StoreUnavailable, match="no server"):
        await notifier.handle([happened(Topic.NEW_BOOKING, booking) for booking in bookings])
    with pytest.raises(UnicodeEncodeError):
        await notifier.handle([happened(Topic.NEW_BOOKING, bookings[0])])


async def test_what_is_cut_off_in_the_midst_of_many_letters_leaves_nothing_behind(desk: Bench) -> None:
    bookings = [booked() for _ in range(2 * AT_ONCE)]
    events = [happened(Topic.NEW_BOOKING, booking) for booking in bookings]
    desk.postbox.seconds = 0.5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.notifier.handle(events), 0.3)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    desk.postbox.seconds = 0.0
    async with asyncio.timeout(10):
        await desk.notifier.handle(events)
    assert set(ids(desk)) == set(map(message_id, bookings))


async def test_what_happened_too_long_ago_is_not_told(desk: Bench) -> None:
    """Whether it was told before is not known any more."""
    old = OPENED - TOLD_WITHIN - timedelta(seconds=1)
    await desk.tell(Topic.NEW_BOOKING, replace(booked(), updated_at=old))
    await desk.notifier.handle([replace(refunded(booked()), occurred_at=old)])
    assert desk.postbox.taken == []
    await desk.notifier.handle([refunded(replace(booked(), updated_at=old))])
    assert len(desk.postbox.taken) == 1, "the money went back just now"


async def test_a_name_with_line_breaks_puts_nothing_into_the_headers(desk: Bench) -> None:
    desk.people.vendor = replace(HOUSE, name="Zoë\r\nBcc: all@example.org")
    await desk.tell(Topic.NEW_BOOKING, booked())
    (message,) = desk.postbox.taken
    assert message["Bcc"] is None
    assert "Zoë Bcc: all@example.org" in message["Subject"]


async def test_a_server_that_is_away_is_waited_for(database_pool: Database, free_port: int, tmp_path: Path) -> None:
    mailer = mailer_of(f"smtp://127.0.0.1:{free_port}", tmp_path)
    desk = bench(database_pool, Postbox(free_port), mailer)
    booking = booked()
    with pytest.raises(StoreUnavailable):
        await desk.tell(Topic.NEW_BOOKING, booking)
    with smtp_server(desk.postbox):
        await desk.tell(Topic.NEW_BOOKING, booking)
        assert len(desk.postbox.taken) == 1
        await mailer.close()


async def test_a_connection_that_the_server_closed_is_opened_again(
    database_pool: Database, free_port: int, tmp_path: Path
) -> None:
    mailer = mailer_of(f"smtp://127.0.0.1:{free_port}", tmp_path)
    desk = bench(database_pool, Postbox(free_port), mailer)
    booking = booked()
    with smtp_server(desk.postbox):
        await desk.tell(Topic.NEW_BOOKING, booking)
    with smtp_server(desk.postbox):
        await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
        assert len(desk.postbox.taken) == 2
        await mailer.close()


async def test_a_server_that_closes_is_waited_for(desk: Bench) -> None:
    desk.postbox.refusals.append("421 busy")
    booking = booked()
    with pytest.raises(StoreUnavailable):
        await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.NEW_BOOKING, booking)
    assert len(desk.postbox.taken) == 1


async def test_what_the_server_puts_off_waits_for_the_second_post_and_nobody_for_it(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    desk.postbox.refusals.append("451 later")
    late, other = booked(), booked()
    await desk.tell(Topic.NEW_BOOKING, late)
    await desk.tell(Topic.NEW_BOOKING, other)
    await desk.tell(Topic.NEW_BOOKING, late)
    assert [message["Message-ID"] for message in desk.postbox.taken] == [message_id(other)]
    second_post = SecondPost(mailer, desk.log, keep=KEEP)
    assert await second_post.deliver() == 0, "it is not due yet"
    await make_due(database)
    desk.postbox.refusals.append("451 later still")
    assert await second_post.deliver() == 1
    assert await second_post.deliver() == 0
    await make_due(database)
    assert await second_post.deliver() == 1
    await desk.tell(Topic.NEW_BOOKING, late)
    assert [message["Message-ID"] for message in desk.postbox.taken] == [message_id(other), message_id(late)]
    assert await states(database) == {late.booking_id: ("sent", None), other.booking_id: ("sent", None)}


async def test_what_is_put_off_is_not_told_after_something_newer(desk: Bench, mailer: Mailer, database: str) -> None:
    desk.postbox.refusals.append("451 later")
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
    await make_due(database)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 1
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["cancelled"]


async def test_an_invitation_does_not_come_after_a_cancellation_that_is_put_off(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    """It could not be withdrawn any more: the cancellation was written when there was none."""
    desk.postbox.refusals.append("451 later")
    booking = booked()
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
    await desk.tell(Topic.NEW_BOOKING, booking)
    await make_due(database)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 1
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["cancelled"]


async def test_of_two_that_are_put_off_the_older_is_not_told_after_the_newer(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    desk.postbox.refusals += ["451 later"] * 2
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(booking))
    await make_due(database, newest_first=True)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 2
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["cancelled"]


async def test_what_is_told_while_the_second_post_is_at_another_letter_is_seen(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    desk.postbox.refusals += ["451 later"] * 2
    first, late = booked(), booked()
    await desk.tell(Topic.NEW_BOOKING, first)
    await make_due(database)
    await desk.tell(Topic.NEW_BOOKING, late)
    await make_due(database, only=late)

    async def cancel(_letter: object) -> None:
        if not desk.postbox.taken:
            await desk.tell(Topic.BOOKING_CANCELLED, cancelled(late))

    other = mailer_of(desk.postbox.url, Path())
    assert await SecondPost(Watched(other, cancel), desk.log, keep=KEEP).deliver() == 2
    await other.close()
    assert [message["Subject"].split()[-1] for message in desk.postbox.taken] == ["cancelled", "confirmed"]
    assert (await states(database))[late.booking_id][0] != "deferred"
    assert message_id(late) not in [message["Message-ID"] for message in desk.postbox.taken]


async def test_two_second_posts_send_a_letter_once(desk: Bench, mailer: Mailer, database: str) -> None:
    """The old process and the new one, say."""
    desk.postbox.refusals.append("451 later")
    await desk.tell(Topic.NEW_BOOKING, booked())
    await make_due(database)
    desk.postbox.seconds = 0.3
    other = mailer_of(desk.postbox.url, Path())
    posts = SecondPost(mailer, desk.log, keep=KEEP), SecondPost(other, desk.log, keep=KEEP)
    assert sorted(await asyncio.gather(*(post.deliver() for post in posts))) == [0, 1]
    await other.close()
    assert len(desk.postbox.taken) == 1


async def test_one_letter_that_cannot_be_sent_leaves_the_others_to_the_second_post(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    desk.postbox.refusals += ["451 later"] * 2
    bad, good = booked(), booked()
    await desk.tell(Topic.NEW_BOOKING, bad)
    await make_due(database)
    await desk.tell(Topic.NEW_BOOKING, good)
    await make_due(database, only=good)
    sent = []

    async def stumble(letter: object) -> None:
        sent.append(letter)
        if len(sent) == 1:
            raise UnicodeEncodeError("ascii", "\udcc3", 0, 1, "no such letter")

    assert await SecondPost(Watched(mailer, stumble), desk.log, keep=KEEP).deliver() == 2
    assert [message["Message-ID"] for message in desk.postbox.taken] == [message_id(good)]
    assert (await states(database))[bad.booking_id][0] == "deferred"


async def test_what_is_cut_off_in_the_midst_of_a_letter_leaves_no_session_behind(desk: Bench) -> None:
    """The runtime gives up a call that takes too long, and calls again."""
    first, second = booked(), booked()
    desk.postbox.seconds = 0.5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.tell(Topic.NEW_BOOKING, first), 0.2)
    desk.postbox.seconds = 0.0
    async with asyncio.timeout(10):
        await desk.tell(Topic.NEW_BOOKING, first)
        await desk.tell(Topic.NEW_BOOKING, second)
    assert {message["Message-ID"] for message in desk.postbox.taken} == {message_id(first), message_id(second)}


async def test_an_error_in_the_midst_of_a_letter_is_not_the_next_ones(postbox: Postbox, mailer: Mailer) -> None:
    with pytest.raises(UnicodeEncodeError):
        await mailer.send(Envelope("r@example.org", "j\udcf6rg@example.org", b"Subject: x\r\n\r\n"))
    await mailer.send(Envelope("r@example.org", "ada@example.org", b"Subject: x\r\n\r\n"))
    assert postbox.taken_for == ["ada@example.org"]


async def test_the_closings_at_each_letter_are_counted_by_themselves(desk: Bench, database: str) -> None:
    first = booked_by_the_unwanted(desk)
    second = replace(first, booking_id=BookingId(UUID(int=2)))
    await told_in_the_end(desk, [first, second])
    assert {state for state, _ in (await states(database)).values()} == {"deferred"}


@pytest.mark.parametrize("with_others", [True, False])
async def test_a_mailbox_at_which_the_server_closes_stops_nobody_for_long(
    desk: Bench, database: str, *, with_others: bool
) -> None:
    bad, good = booked_by_the_unwanted(desk), [booked() for _ in range(3)]
    batches = [[bad, *good]] if with_others else [[bad], good]
    for batch in batches:
        await told_in_the_end(desk, batch)
    assert len(desk.postbox.taken) == len(good)
    assert (await states(database))[bad.booking_id][0] == "deferred"


async def test_a_mailbox_at_which_the_server_closes_stops_no_second_post(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    bad, good = booked_by_the_unwanted(desk), booked()
    await told_in_the_end(desk, [bad])
    await make_due(database)
    desk.postbox.refusals.append("451 later")
    await desk.tell(Topic.NEW_BOOKING, good)
    await make_due(database, only=good)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 2
    assert [message["Message-ID"] for message in desk.postbox.taken] == [message_id(good)]
    await make_due(database, tries=TRIES_MAX)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 1
    assert (await states(database))[bad.booking_id] == ("refused", None)


async def test_a_server_that_takes_nothing_is_held_against_no_letter(
    desk: Bench, mailer: Mailer, database: str
) -> None:
    late, new = booked(), booked()
    desk.postbox.refusals.append("451 later")
    await desk.tell(Topic.NEW_BOOKING, late)
    desk.postbox.closes = True
    for _ in range(2 * STOPS_MAX):
        with pytest.raises(StoreUnavailable):
            await desk.tell(Topic.NEW_BOOKING, new)
        await make_due(database, tries=TRIES_MAX)
        with pytest.raises(StoreUnavailable):
            await SecondPost(mailer, desk.log, keep=KEEP).deliver()
    found = await states(database)
    assert (found[new.booking_id][0], found[late.booking_id][0]) == ("begun", "deferred")
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 0, "others would come before it"


async def test_what_is_put_off_for_too_long_is_given_up(desk: Bench, mailer: Mailer, database: str) -> None:
    desk.postbox.refusals += ["451 later"] * 2
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    await make_due(database, tries=TRIES_MAX)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == 1
    assert await states(database) == {booking.booking_id: ("refused", None)}


async def test_what_was_told_long_ago_is_forgotten_but_of_bookings_that_may_be_cancelled_yet(
    desk: Bench, mailer: Mailer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.notifications._LOOKED_AT_ONCE", 2)
    told, refused, waiting, here, new = (booked() for _ in range(5))
    await desk.tell(Topic.NEW_BOOKING, told)
    await desk.tell(Topic.BOOKING_CANCELLED, cancelled(told))
    await desk.tell(Topic.NEW_BOOKING, here)
    desk.postbox.refusals += ["554 never", "451 later"]
    await desk.tell(Topic.NEW_BOOKING, refused)
    await desk.tell(Topic.NEW_BOOKING, waiting)
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE notification SET begun_at = now() - $1::interval", KEEP)
    await connection.execute(
        "INSERT INTO booking (booking_id, vendor_id, user_id, starts_at, ends_at, created_at, updated_at, version,"
        " party_size, first_slot, slot_count, held_slot_count, step_minutes, deposit_waived, kind, status, seats, terms)"
        " SELECT $1, $1, $1, now(), now(), now(), now(), 1, 1, 1, 1, 1, 1, false, 'restaurant', 'CONFIRMED', '[]', '{}'",
        here.booking_id,
    )
    await connection.close()
    await desk.tell(Topic.NEW_BOOKING, new)
    second_post = SecondPost(mailer, desk.log, keep=KEEP)
    for _ in range(2):
        assert set(await states(database)) >= {here.booking_id, new.booking_id, waiting.booking_id}
        for _ in range(4):
            await second_post.tidy()
        assert set(await states(database)) == {here.booking_id, new.booking_id, waiting.booking_id}


def test_the_second_post_comes_ever_less_often() -> None:
    waits = [wait_after(tries) for tries in range(TRIES_MAX)]
    assert waits[:3] == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]
    assert max(waits) == timedelta(hours=4)
    assert timedelta(days=2) < sum(waits, timedelta()) < timedelta(days=3)


async def test_what_the_server_refuses_for_good_is_given_up_and_nobody_waits(desk: Bench, database: str) -> None:
    desk.postbox.refusals.append("554 never")
    refused, other = booked(), booked()
    await desk.tell(Topic.NEW_BOOKING, refused)
    await desk.tell(Topic.NEW_BOOKING, other)
    await desk.tell(Topic.NEW_BOOKING, refused)
    assert [message["Message-ID"] for message in desk.postbox.taken] == [message_id(other)]
    assert await states(database) == {refused.booking_id: ("refused", None), other.booking_id: ("sent", None)}


@pytest.mark.parametrize(
    ("address", "sent_to"),
    [
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ann@straße.de", "ann@xn--strae-oqa.de"),
        ("ann@straße.test", "ann@xn--strae-oqa.test"),
        ("ann@under_score.example", "ann@under_score.example"),
        ("jörg@example.org", "jörg@example.org"),
        ("jörg@bücher.example", "jörg@xn--bcher-kva.example"),
    ],
)
@pytest.mark.parametrize("put_off", [False, True])
async def test_an_address_in_other_letters_is_reached(
    desk: Bench, mailer: Mailer, database: str, address: str, sent_to: str, *, put_off: bool
) -> None:
    assert desk.people.guest is not None
    desk.people.guest = replace(desk.people.guest, email=address)
    desk.postbox.refusals += ["451 later"] * put_off
    await desk.tell(Topic.NEW_BOOKING, booked())
    await make_due(database)
    assert await SecondPost(mailer, desk.log, keep=KEEP).deliver() == put_off
    (message,) = desk.postbox.taken
    assert desk.postbox.taken_for == [sent_to]
    assert "Café <Zoë>" in part(message, "text/plain")
    # The parser knows no address in UTF-8 and keeps its bytes.
    assert message["To"].addresses[0].addr_spec.encode("ascii", "surrogateescape").decode() == sent_to


PIECES = [
    *("=?utf-8?q?", "=?utf-8?b?", "?=", "=0D=0A", "=0A", "=00", "(", ")", "<", ">", "@", ",", ";", ":", "\\", '"', "'"),
    *(" ", "\t", "\n", "\r", "\x01", "\x1b", "\x7f", "\u2028", "\x85", "\u200b", "\u202e", "\ufeff", "\u0300"),
    *("é", "😀", "a", "Bcc: x@example.org", "=", "?", "_", "%(vendor)s", "{{", "{%", "[", "]", ".", "AA==", "é" * 80),
    *("=?idna?q?x?=", "=?utf-16?b?2AA=?=", "=?zlib?b?AA?=", "=?utf-7?q?+2AA-?=", "=?undefined?q?a?=", "x" * 60),
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(lambda pieces: "".join(pieces)[:200]))
@settings(max_examples=300, deadline=None)
def test_nothing_that_people_write_gets_out_of_its_place(text: str) -> None:
    """Headers stay the same set, the addresses stay ours, and the calendar file stays one event that can be read."""
    guest, house = replace(GUEST, name=text), replace(HOUSE, name=text, address=text)
    booking = replace(booked(), notes=text, cancel_reason=text)
    letter = Letter(Topic.NEW_BOOKING, booking, house, guest, "Holdfast <r@localhost>", invited=True)
    raw = sealed(written(letter)).content
    assert raw.isascii()
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert sorted(message.keys()) == sorted(
        [
            "Subject",
            "From",
            "To",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Language",
        ]
    )
    assert [address.addr_spec for address in message["To"].addresses] == [GUEST.email]
    assert [address.addr_spec for address in message["From"].addresses] == ["r@localhost"]
    method, event = event_of(message)
    assert (method, event["uid"], event.errors) == ("REQUEST", f"{booking.booking_id}@holdfast", [])
    assert str(event["attendee"]) == f"mailto:{GUEST.email}"


def ids(desk: Bench) -> list[str]:
    return [message["Message-ID"] for message in desk.postbox.taken]


def message_id(booking: Booking) -> str:
    return f"<{booking.booking_id}.{booking.version}.new_booking@holdfast>"


UNWANTED = User(UserId(UUID(int=666)), 1, "x@unwanted.example", "X", OPENED, OPENED, None, None)


def booked_by_the_unwanted(desk: Bench) -> Booking:
    """Comes first in its batch."""
    desk.people.others[UNWANTED.user_id] = UNWANTED
    desk.postbox.closes_for.add(UNWANTED.email)
    return replace(booked(), booking_id=BookingId(UUID(int=1)), user_id=UNWANTED.user_id)


async def told_in_the_end(desk: Bench, bookings: list[Booking]) -> None:
    """As the runtime does it: the same batch, until it has its effect."""
    for _ in range(STOPS_MAX - 1):
        try:
            await desk.notifier.handle([happened(Topic.NEW_BOOKING, booking) for booking in bookings])
        except StoreUnavailable:
            continue
        return
    await desk.notifier.handle([happened(Topic.NEW_BOOKING, booking) for booking in bookings])


@dataclass
class Watched:
    """A mailer with somebody who acts before each letter."""

    mailer: Mailer
    before: Callable[[Envelope], Awaitable[None]]

    async def send(self, letter: Envelope) -> None:
        await self.before(letter)
        await self.mailer.send(letter)

    async def close(self) -> None:
        await self.mailer.close()


async def make_due(
    database: str, *, tries: int | None = None, newest_first: bool = False, only: Booking | None = None
) -> None:
    connection = await asyncpg.connect(database)
    statement = """
        UPDATE notification
        SET next_try_at = now() - CASE WHEN $2 THEN version ELSE 0 END * interval '1 second', tries = coalesce($1, tries)
        WHERE state = 'deferred' AND ($3::uuid IS NULL OR booking_id = $3)
    """
    await connection.execute(statement, tries, newest_first, None if only is None else only.booking_id)
    await connection.close()


async def states(database: str) -> dict[UUID, tuple[str, bytes | None]]:
    """By booking: the state, and the letter that is still kept."""
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT booking_id, state, message FROM notification")
    await connection.close()
    return {UUID(int=row["booking_id"].int): (row["state"], row["message"]) for row in rows}


async def test_a_booking_without_its_guest_is_poison(desk: Bench) -> None:
    desk.people.guest = None
    with pytest.raises(LookupError):
        await desk.tell(Topic.NEW_BOOKING, booked())


async def test_without_a_server_each_message_is_a_file(database_pool: Database, tmp_path: Path) -> None:
    mailer = mailer_of("", tmp_path / "mail")
    assert isinstance(mailer, FolderMailer)
    desk = bench(database_pool, Postbox(0), mailer)
    booking = booked()
    await desk.tell(Topic.NEW_BOOKING, booking)
    (file,) = (tmp_path / "mail").iterdir()
    assert file.name == f"{booking.booking_id}.1.new_booking@holdfast.eml"
    assert "Subject: " in file.read_text()


@pytest.mark.parametrize("url", ["http://example.org", "smtp://", "localhost:25"])
def test_an_address_of_another_kind_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HOLDFAST_SMTP_URL"):
        mailer_of(url, tmp_path)
