"""A booking as a calendar file (RFC 5545, RFC 5546) that mail programs take as an invitation, its change or its end."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vGeo, vText

from consumers.mail.plain_text import one_line
from domain.booking import Booking
from domain.user import User
from domain.vendor import Vendor

REQUEST: Final = "REQUEST"
CANCEL: Final = "CANCEL"

_ZONE_MARGIN: Final = timedelta(days=366)


def calendar_file(
    booking: Booking, vendor: Vendor, guest: User, *, method: str, organizer: str, summary: str, description: str
) -> bytes:
    """One event. Its UID stays for the booking's whole life and its SEQUENCE grows with the version.

    `organizer` is the address that the mail comes from. Times are the vendor's own, with their zone's rules enclosed,
    where they say which instant is meant.
    """
    zone = ZoneInfo(vendor.time_zone)
    event = Event()
    event.add("uid", f"{booking.booking_id}@holdfast")
    event.add("sequence", booking.version - 1)
    event.add("dtstamp", booking.updated_at)
    event.add("dtstart", _moment(booking.starts_at, zone))
    event.add("dtend", _moment(booking.ends_at, zone))
    event.add("summary", summary)
    event.add("description", description)
    event.add("location", one_line(", ".join(filter(None, (vendor.name, vendor.address, vendor.city)))))
    event.add("geo", vGeo((vendor.location.lat, vendor.location.lon)))
    event.add("status", "CANCELLED" if method == CANCEL else "CONFIRMED")
    event.add("transp", "OPAQUE")
    event.add("organizer", _address(organizer, vendor.name))
    attendee = _address(guest.email, guest.name)
    attendee.params["PARTSTAT"] = vText("ACCEPTED")
    attendee.params["RSVP"] = vText("FALSE")
    event.add("attendee", attendee)
    calendar = Calendar()
    calendar.add("prodid", "-//Holdfast//Reservations//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    # The zone's rules around the booking alone, else a century of clock changes would travel with each message.
    calendar.add_missing_timezones(
        first_date=booking.starts_at.date() - _ZONE_MARGIN, last_date=booking.ends_at.date() + _ZONE_MARGIN
    )
    content: bytes = calendar.to_ical()
    return content


def _moment(instant: datetime, zone: ZoneInfo) -> datetime:
    """In the zone's time, or in UTC in the hour that clocks go through again: its times mean the first one (RFC 5545)."""
    local = instant.astimezone(zone)
    return instant.astimezone(UTC) if local.fold else local


def _address(email: str, name: str) -> vCalAddress:
    address = vCalAddress(f"mailto:{email}")
    address.params["CN"] = vText(one_line(name).replace('"', "'"))
    return address
