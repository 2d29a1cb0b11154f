"""What the benchmark books: restaurants of twenty tables, and parties at random on evenings of the coming months.

The same vendors and the same bodies go to every stack. There are far more free sittings than a run books, so that
refusals stay rare and the figures are those of bookings.
"""

import json
import random
from datetime import date, timedelta
from itertools import accumulate

GUESTS = 200
VENDORS = 200
DAYS_AHEAD = 240
PASSWORD = "only-for-the-benchmark"

_TABLES = (("Window", 2, 10), ("Room", 4, 6), ("Corner", 6, 4))  # name, capacity, how many
_PARTIES = ((1, 10), (2, 50), (3, 10), (4, 20), (6, 10))  # party size, of a hundred
_FIRST_HOUR, _LAST_HOUR = 11, 22


def vendor_body(number: int) -> dict[str, object]:
    """A vendor as POST /vendor/create takes it."""
    return {
        "email": f"vendor-{number}@bench.example.com",
        "password": PASSWORD,
        "kind": "restaurant",
        "name": f"Bench {number}",
        "city": "Berlin",
        "location": {"lat": 52.52, "lon": 13.405},
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "cuisines": ["regional"],
        "seats": [
            {"name": name, "seat_type": "table", "capacity_min": 1, "capacity_max": capacity, "quantity": quantity}
            for name, capacity, quantity in _TABLES
        ],
        "services": [
            {
                "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                "first": f"{_FIRST_HOUR}:00",
                "last": f"{_LAST_HOUR}:00",
                "every_minutes": 30,
            }
        ],
        "turn_minutes": [{"party_max": 4, "minutes": 90}, {"party_max": 6, "minutes": 120}],
        "policy": {"book_ahead_days_max": 365},
    }


def user_body(number: int) -> dict[str, object]:
    """A guest as POST /user/create takes it."""
    return {"email": f"guest-{number}@bench.example.com", "password": PASSWORD, "name": f"Guest {number}"}


def booking_bodies(today: date, count: int = 5_000, seed: int = 7) -> list[str]:
    """Bookings as POST /booking/vendor/:vendorid takes them, by local time, tomorrow at the earliest."""
    chance = random.Random(seed)
    sizes, shares = zip(*_PARTIES, strict=True)
    bodies: list[str] = []
    for size in chance.choices(sizes, cum_weights=list(accumulate(shares)), k=count):
        day = today + timedelta(days=chance.randint(1, DAYS_AHEAD))
        half_hours = chance.randint(2 * _FIRST_HOUR, 2 * _LAST_HOUR)
        starts_at = f"{day.isoformat()}T{half_hours // 2:02d}:{half_hours % 2 * 30:02d}"
        bodies.append(json.dumps({"party_size": size, "starts_at": starts_at}))
    return bodies
