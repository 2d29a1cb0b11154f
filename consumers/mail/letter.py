"""What a guest is told of a booking: the words, as text, as HTML and as a calendar file, in one message."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default as default_policy
from email.utils import format_datetime as mail_date
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, get_currency_precision
from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from consumers.mail.calendar import CANCEL, REQUEST, calendar_file
from consumers.mail.catalogue import language, locale_of
from consumers.mail.plain_text import display_name, header, one_line, printable
from domain.booking import Booking, BookingStatus
from domain.ids import booking_code
from domain.money import Money
from domain.user import User
from domain.vendor import Vendor, VendorKind
from storage.event_log import Topic

TOPICS: Final = (
    Topic.NEW_BOOKING,
    Topic.BOOKING_AMENDED,
    Topic.BOOKING_CANCELLED,
    Topic.BOOKING_EXPIRED,
    Topic.PAYMENT_REFUNDED,
)
"""Of which guests are told."""

_SEVEN_BITS: Final = default_policy.clone(cte_type="7bit")
"""What is not ASCII is quoted, which any server takes and a person still reads in the file."""

_END: Final = ".example"
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class BackPaid:
    """Money that went back. `name` tells it from any other of the booking, for ever."""

    name: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Letter:
    """One event to tell. `sender` is a whole address; `invited` says that the guest holds an invitation to withdraw.

    `back_paid` stands with PAYMENT_REFUNDED alone.
    """

    topic: Topic
    booking: Booking
    vendor: Vendor
    guest: User
    sender: str
    invited: bool
    back_paid: BackPaid | None = None


def written(letter: Letter) -> EmailMessage:
    """The whole message. Its Message-ID is the same however often it is written, so that a double can be known."""
    booking, vendor, guest = letter.booking, letter.vendor, letter.guest
    locale = locale_of(guest.locale)
    words = _words(letter, locale)
    environment = _environment(locale.language)
    said = environment.get_template(f"{letter.topic.value}.j2").make_module(words)
    words |= {"headline": str(said.headline()).strip(), "lead": str(said.lead()).strip()}  # type: ignore[attr-defined]
    text = environment.get_template("letter.txt.j2").render(words)
    html = environment.get_template("letter.html.j2").render(words)

    message = EmailMessage(policy=_SEVEN_BITS)
    name, address = parseaddr(letter.sender)
    message["Subject"] = header(str(words["headline"]))
    message["From"] = Address(display_name(vendor.name) or name, addr_spec=address)
    message["To"] = Address(display_name(guest.name), *_mailbox(guest.email))
    message["Date"] = mail_date(booking.updated_at)
    message["Message-ID"] = f"<{booking.booking_id}.{_event_name(letter)}@holdfast>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    method = _method(letter)
    if method is not None:
        content = calendar_file(
            booking,
            vendor,
            guest,
            method=method,
            organizer=address,
            summary=one_line(str(words["headline"]) if method == CANCEL else vendor.name),
            description=text,
        )
        message.add_alternative(
            content, maintype="text", subtype="calendar", params={"method": method, "charset": "utf-8"}
        )
    # Only now: what starts with Content- moves into the first part when a message gets its second.
    message["Content-Language"] = str(locale).replace("_", "-")
    return message


def _event_name(letter: Letter) -> str:
    """Short enough for the header's one line."""
    if letter.back_paid is not None:
        return f"{letter.back_paid.name}.refund"
    return f"{letter.booking.version}.{letter.topic.value}"


def _method(letter: Letter) -> str | None:
    """A confirmed booking invites, the end of one that invited takes the invitation back."""
    if letter.topic is Topic.PAYMENT_REFUNDED:
        return None
    if letter.booking.status is BookingStatus.CONFIRMED:
        return REQUEST
    return CANCEL if letter.topic is Topic.BOOKING_CANCELLED and letter.invited else None


def _words(letter: Letter, locale: Locale) -> dict[str, str | int | bool | None]:
    booking, vendor = letter.booking, letter.vendor
    zone = ZoneInfo(vendor.time_zone)

    def moment(instant: datetime) -> str:
        local = instant.astimezone(zone)
        return f"{format_date(local, 'full', locale=locale)}, {format_time(local, 'short', locale=locale)}"

    hotel = booking.kind is VendorKind.HOTEL
    return {
        "lang": str(locale).replace("_", "-"),
        "guest": one_line(letter.guest.name),
        "vendor": one_line(vendor.name),
        "address": one_line(", ".join(filter(None, (vendor.address, vendor.city)))),
        "phone": _printable(vendor.phone),
        "code": booking_code(booking.booking_id),
        "hotel": hotel,
        "starts": moment(booking.starts_at),
        "ends": moment(booking.ends_at),
        "day": format_date(booking.starts_at.astimezone(zone), "long", locale=locale),
        "zone": vendor.time_zone,
        "party_size": booking.party_size,
        "rooms": len(booking.seats),
        "price": _money(booking.price, locale),
        "back_paid": None if letter.back_paid is None else _money(letter.back_paid.amount, locale),
        "notes": _printable(booking.notes),
        "reason": _printable(booking.cancel_reason),
    }


def _money(money: Money | None, locale: Locale) -> str | None:
    if money is None:
        return None
    amount = Decimal(money.amount_minor).scaleb(-get_currency_precision(money.currency))
    return format_currency(amount, money.currency, locale=locale)


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)


def _mailbox(email: str) -> tuple[str, str]:
    """The two sides of an address, its domain as name servers know it (RFC 5891) where it has such a form."""
    local, _, domain = email.rpartition("@")
    try:
        # As the address was judged when it was given: under an end of ours, reserved names are names like any.
        judged = validate_email(f"{email}{_END}", check_deliverability=False)
    except EmailNotValidError:
        return local, domain
    return local, judged.ascii_domain.removesuffix(_END)


@cache
def _environment(name: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    words = language(name)
    made.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    return made
