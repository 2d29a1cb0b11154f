from uuid import uuid4

import pytest

from tests.api.driving import PASSWORD, done, hotel, instant, refused, restaurant, unique_email


async def made(api, body):
    response = await api.http.post("/vendor/create", json=body)
    return done(response, 201)


async def change(api, house, headers=None, **given):
    return await api.http.put(f"/vendor/{house.id}", json=given, headers={**house.headers, **(headers or {})})


async def test_a_restaurant_is_opened_and_read(api):
    body = restaurant(
        description="Very good",
        address="Ring 1",
        phone="+43 1",
        combinations=[["T1", "T2"]],
        pacing={"covers_per_step": 10},
        closures=[{"from": "2030-12-24", "to": "2030-12-26", "reason": "Christmas"}],
        policy={
            "hold_ttl_seconds": 300,
            "deposit": {"kind": "per_person", "amount_minor": 1000},
            "cancel_before_hours": 24,
            "keep_on_late_cancel_percent": 50,
            "book_ahead_days_max": 90,
            "book_ahead_minutes_min": 60,
            "approval": "manual",
        },
    )
    response = await api.http.post("/vendor/create", json=body)
    content = done(response, 201)

    assert response.headers["etag"] == '"1"'
    said = {name: value for name, value in body.items() if name not in {"password", "seats", "closures", "policy"}}
    assert {name: content[name] for name in said} == said
    assert content["version"] == 1
    assert [seat["name"] for seat in content["seats"]] == ["T1", "T2"]
    assert content["seats"][0] == {**body["seats"][0], "quantity": 1, "price": None, "closures": None}
    assert content["closures"] == body["closures"]
    assert content["policy"] == {
        **body["policy"],
        "deposit": {"kind": "per_person", "amount_minor": 1000, "percent": None},
    }
    assert "password" not in response.text

    read = await api.http.get(f"/vendor/{content['vendor_id']}")
    assert done(read) == {**content, "email": None}
    assert read.headers["etag"] == '"1"'


async def test_a_hotel_is_opened_and_read(api):
    stay = {"min_nights": 2, "max_nights": 14, "closed_to_arrival": ["sun"], "closed_to_departure": []}
    body = hotel(check_in="14:00", check_out="10:30", stay=stay)
    content = await made(api, body)
    assert (content["check_in"], content["check_out"], content["stay"]) == ("14:00", "10:30", stay)
    assert content["seats"][0]["quantity"] == 3
    assert content["seats"][0]["price"] == {"amount_minor": 12_000, "currency": "EUR"}
    assert content["amenities"] == ["sauna"]


async def test_what_was_not_said_is_null_or_the_default(api):
    content = await made(api, restaurant())
    nulls = ("description", "address", "phone", "combinations", "pacing", "closures")
    assert [content[name] for name in nulls] == [None] * len(nulls)
    assert [content[name] for name in ("amenities", "check_in", "check_out", "stay")] == [None] * 4
    assert content["policy"] == {
        "hold_ttl_seconds": 600,
        "deposit": {"kind": "none", "amount_minor": None, "percent": None},
        "cancel_before_hours": 0,
        "keep_on_late_cancel_percent": 0,
        "book_ahead_days_max": 365,
        "book_ahead_minutes_min": 0,
        "approval": "automatic",
    }
    content = await made(api, hotel())
    assert (content["check_in"], content["check_out"]) == ("15:00", "11:00")
    assert [content[name] for name in ("cuisines", "services", "turn_minutes")] == [None] * 3


async def test_what_was_read_may_be_sent_back(api):
    for house in (await api.restaurant(), await api.hotel()):
        content = done(await api.http.get(f"/vendor/{house.id}"))
        own = {"vendor_id", "version", "email", "created_at", "updated_at"}
        again = {name: value for name, value in content.items() if name not in own}
        done(await change(api, house, **{name: value for name, value in again.items() if value is not None}))


async def test_the_email_shows_to_the_vendor_alone(api):
    house, other, guest = await api.restaurant(), await api.restaurant(), await api.user()
    url = f"/vendor/{house.id}"
    assert done(await api.http.get(url, headers=house.headers))["email"] == house.email
    for headers in (other.headers, guest.headers, {}):
        assert done(await api.http.get(url, headers=headers))["email"] is None
    refused(await api.http.get(url, headers={"Authorization": "Bearer x"}), 401, "unauthenticated")


async def test_an_email_belongs_to_one_vendor_whatever_its_case(api):
    house = await api.restaurant()
    refused(await api.http.post("/vendor/create", json=hotel(email=house.email.upper())), 409, "email_taken")


async def test_a_vendor_logs_in(api):
    house = await api.restaurant()
    token = done(await api.http.post("/vendor/login", json={"email": house.email.upper(), "password": PASSWORD}))
    assert (token["token_type"], token["vendor_id"]) == ("Bearer", house.id)
    wrong = await api.http.post("/vendor/login", json={"email": house.email, "password": "wrong horse"})
    refused(wrong, 401, "unauthenticated")


async def test_a_vendor_is_changed_in_part(api):
    house = await api.restaurant(description="Old", phone="+43 1")
    response = await change(api, house, name="New name", description=None)
    content = done(response)
    assert (content["name"], content["description"], content["phone"], content["version"]) == (
        "New name",
        None,
        "+43 1",
        2,
    )
    assert response.headers["etag"] == '"2"'
    assert content["email"] == house.email
    assert instant(content["updated_at"]) >= instant(content["created_at"])
    assert done(await api.http.get(f"/vendor/{house.id}", headers=house.headers)) == content


async def test_lists_and_policy_are_replaced_whole(api):
    house = await api.restaurant(policy={"hold_ttl_seconds": 60, "cancel_before_hours": 24})
    content = done(await change(api, house, policy={"cancel_before_hours": 2}))
    assert (content["policy"]["hold_ttl_seconds"], content["policy"]["cancel_before_hours"]) == (600, 2)
    seats = [{"name": "T9", "seat_type": "bar", "capacity_min": 1, "capacity_max": 1}]
    assert [seat["name"] for seat in done(await change(api, house, seats=seats))["seats"]] == ["T9"]
    closures = [{"from": "2030-01-01", "to": "2030-01-02"}]
    assert done(await change(api, house, closures=closures))["closures"][0]["reason"] is None
    assert done(await change(api, house, closures=None))["closures"] is None


async def test_a_stale_version_is_a_conflict(api):
    house = await api.restaurant()
    done(await change(api, house, {"If-Match": '"1"'}, name="One"))
    refused(await change(api, house, {"If-Match": '"1"'}, name="Two"), 412, "version_conflict")
    done(await change(api, house, {"If-Match": '"2"'}, name="Three"))


async def test_a_change_that_would_strand_bookings_names_them(api):
    house, guest = await api.restaurant(), await api.user()
    booking = await api.booked(guest, house, party_size=4)
    response = await change(api, house, seats=house.body["seats"][:1])
    content = refused(response, 409, "would_strand_bookings")
    assert content["bookings"] == [booking["booking_id"]]
    seats = [house.body["seats"][0], {**house.body["seats"][1], "capacity_max": 3}]
    refused(await change(api, house, seats=seats), 409, "would_strand_bookings")
    assert done(await api.http.get(f"/vendor/{house.id}"))["version"] == 1
    done(await api.set_status(guest, booking["booking_id"], "CANCELLED"))
    done(await change(api, house, seats=house.body["seats"][:1]))


async def test_shorter_hours_and_closures_do_not_touch_bookings(api):
    house, guest = await api.restaurant(), await api.user()
    booking = await api.booked(guest, house)
    day = str(api.day())
    done(await change(api, house, closures=[{"from": day, "to": day}], services=house.body["services"][:1]))
    assert (await api.booking(guest, booking["booking_id"]))["status"] == "CONFIRMED"
    refused(await api.hold(guest, house), 409, "outside_opening_hours")


RESTAURANT_FAULTS = [
    ({"kind": "castle"}, "kind"),
    ({"kind": None}, "kind"),
    ({"name": ""}, "name"),
    ({"city": "x" * 201}, "city"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "../etc/passwd"}, "time_zone"),
    ({"currency": "eur"}, "currency"),
    ({"currency": "EURO"}, "currency"),
    ({"location": {"lat": 91, "lon": 0}}, "location.lat"),
    ({"location": {"lat": "48", "lon": 0}}, "location.lat"),
    ({"location": {"lat": 48}}, "location.lon"),
    ({"location": None}, "location"),
    ({"seats": []}, "seats"),
    ({"seats": None}, "seats"),
    ({"seats": {}}, "seats"),
    ({"seats": [{"name": "T1"}]}, "seats[0].seat_type"),
    ({"seats": [{"name": "T1", "seat_type": "t", "capacity_min": 0, "capacity_max": 2}]}, "seats[0].capacity_min"),
    ({"seats": [{"name": "T1", "seat_type": "t", "capacity_min": 3, "capacity_max": 2}]}, "seats[0].capacity_max"),
    (
        {"seats": [{"name": "T1", "seat_type": "t", "capacity_min": 1, "capacity_max": 2, "quantity": -1}]},
        "seats[0].quantity",
    ),
    (
        {"seats": [{"name": "T1", "seat_type": "t", "capacity_min": 1, "capacity_max": 2, "quantity": 1.0}]},
        "seats[0].quantity",
    ),
    (
        {"seats": [{"name": "T1", "seat_type": "t", "capacity_min": 1, "capacity_max": 2, "seat_id": str(uuid4())}]},
        "seats[0].seat_id",
    ),
    ({"services": [{"days": ["moon"], "first": "12:00", "last": "14:00", "every_minutes": 30}]}, "services[0].days[0]"),
    ({"services": [{"days": [], "first": "12:00", "last": "14:00", "every_minutes": 30}]}, "services[0].days"),
    ({"services": [{"days": ["mon"], "first": "25:00", "last": "14:00", "every_minutes": 30}]}, "services[0].first"),
    (
        {"services": [{"days": ["mon"], "first": "12:00", "last": "14:00", "every_minutes": 0}]},
        "services[0].every_minutes",
    ),
    ({"turn_minutes": [{"party_max": 2, "minutes": 0}]}, "turn_minutes[0].minutes"),
    ({"pacing": {"covers_per_step": 0}}, "pacing.covers_per_step"),
    ({"closures": [{"from": "2030-01-02", "to": "2030-01-01"}]}, "closures[0].to"),
    ({"closures": [{"from": "2030-02-30", "to": "2030-03-01"}]}, "closures[0].from"),
    ({"closures": [{"first": "2030-01-01", "last": "2030-01-01"}]}, "closures[0].from"),
    ({"policy": {"hold_ttl_seconds": 0}}, "policy.hold_ttl_seconds"),
    ({"policy": {"hold_ttl_seconds": 86_401}}, "policy.hold_ttl_seconds"),
    ({"policy": {"book_ahead_days_max": 731}}, "policy.book_ahead_days_max"),
    ({"policy": {"keep_on_late_cancel_percent": 101}}, "policy.keep_on_late_cancel_percent"),
    ({"policy": {"approval": "maybe"}}, "policy.approval"),
    ({"policy": {"deposit": {"kind": "per_booking"}}}, "policy.deposit"),
    ({"policy": {"deposit": {"kind": "percent", "amount_minor": 5}}}, "policy.deposit"),
    ({"policy": {"deposit": {"kind": "per_person", "amount_minor": -5}}}, "policy.deposit.amount_minor"),
    ({"price": 5}, "price"),
    ({"version": 7}, "version"),
    ({"amenities": ["sauna"]}, "amenities"),
    ({"check_in": "15:00"}, "check_in"),
    ({"stay": {"min_nights": 2}}, "stay"),
]

# What only the whole vendor shows.
RULES = [
    ({"services": [{"days": ["mon"], "first": "12:00", "last": "14:00", "every_minutes": 7}]}, "services"),
    ({"services": [{"days": ["mon"], "first": "12:03", "last": "14:00", "every_minutes": 30}]}, "services"),
    ({"combinations": [["T1", "T7"]]}, "combinations"),
    (
        {
            "seats": [
                {"name": "T1", "seat_type": "t", "capacity_min": 1, "capacity_max": 2},
                {"name": "T1", "seat_type": "t", "capacity_min": 1, "capacity_max": 2},
            ]
        },
        "seats",
    ),
    (
        {
            "seats": [
                {
                    "name": "T1",
                    "seat_type": "t",
                    "capacity_min": 1,
                    "capacity_max": 2,
                    "price": {"amount_minor": 1, "currency": "USD"},
                }
            ]
        },
        "seats",
    ),
]


@pytest.mark.parametrize(("given", "path"), RESTAURANT_FAULTS)
async def test_a_bad_restaurant_names_the_field(api, given, path):
    refused(await api.http.post("/vendor/create", json=restaurant(**given)), 422, "invalid_request", path)


@pytest.mark.parametrize(("given", "path"), RULES)
async def test_a_vendor_that_makes_no_sense_names_where(api, given, path):
    content = refused(await api.http.post("/vendor/create", json=restaurant(**given)), 422, "invalid_request")
    assert content["errors"][0]["path"].startswith(path), content


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"services": [{"days": ["mon"], "first": "12:00", "last": "14:00", "every_minutes": 30}]}, "services"),
        ({"turn_minutes": [{"party_max": 2, "minutes": 90}]}, "turn_minutes"),
        ({"cuisines": ["thai"]}, "cuisines"),
        ({"pacing": {"covers_per_step": 1}}, "pacing"),
        ({"combinations": [["Double", "Suite"]]}, "combinations"),
        ({"check_in": "15"}, "check_in"),
        ({"stay": {"min_nights": 0}}, "stay.min_nights"),
        ({"stay": {"max_nights": 366}}, "stay.max_nights"),
    ],
)
async def test_a_bad_hotel_names_the_field(api, given, path):
    refused(await api.http.post("/vendor/create", json=hotel(**given)), 422, "invalid_request", path)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"name": None}, "name"),
        ({"seats": None}, "seats"),
        ({"policy": None}, "policy"),
        ({"kind": "hotel"}, "kind"),
        ({"amenities": ["sauna"]}, "amenities"),
        ({"email": "new@example.org"}, "email"),
        ({"vendor_id": str(uuid4())}, "vendor_id"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ],
)
async def test_a_bad_change_names_the_field(api, given, path):
    house = await api.restaurant()
    refused(await change(api, house, **given), 422, "invalid_request", path)
    assert done(await api.http.get(f"/vendor/{house.id}"))["version"] == 1


async def test_only_the_vendor_changes_itself(api):
    house, other, guest = await api.restaurant(), await api.restaurant(), await api.user()
    url = f"/vendor/{house.id}"
    for headers in (other.headers, guest.headers, api.operator):
        refused(await api.http.put(url, json={"name": "Mine"}, headers=headers), 403, "forbidden")
        refused(await api.http.put(f"/vendor/{uuid4()}", json={"name": "Mine"}, headers=headers), 404, "not_found")
    refused(await api.http.put(url, json={"name": "Mine"}), 401, "unauthenticated")


async def test_a_vendor_that_is_not_there(api):
    for vendor_id in (uuid4(), "nonsense"):
        refused(await api.http.get(f"/vendor/{vendor_id}"), 404, "not_found")
        url = f"/vendor/{vendor_id}/availability?from={api.day()}&to={api.day()}"
        refused(await api.http.get(url), 404, "not_found")


async def free(api, house, **query):
    query = {"from": str(api.day()), "to": str(api.day()), **query}
    response = await api.http.get(f"/vendor/{house.id}/availability", params=query)
    return done(response)["items"]


async def test_what_is_free_at_a_restaurant(api):
    house, guest = await api.restaurant(), await api.user()
    rows = await free(api, house)
    assert {row["date"] for row in rows} == {str(api.day())}
    assert len(rows) == 14
    assert {(row["seat_type"], row["free"], row["from_price"]) for row in rows} == {("table", 2, None)}
    booking = await api.booked(guest, house)
    after = {row["starts_at"]: row["free"] for row in await free(api, house)}
    assert after[booking["starts_at"]] == 1
    assert await free(api, house, party_size=5) == []
    assert await free(api, house, party_size="2147483647") == []


async def test_what_is_free_at_a_hotel(api):
    house, guest = await api.hotel(), await api.user()
    rows = await free(api, house, to=str(api.day(9)))
    assert [(row["date"], row["seat_type"], row["free"]) for row in rows if row["seat_type"] == "double"] == [
        (str(api.day(ahead)), "double", 3) for ahead in (7, 8, 9)
    ]
    assert all(row["starts_at"] is None for row in rows)
    assert {row["from_price"]["amount_minor"] for row in rows if row["seat_type"] == "suite"} == {30_000}
    await api.booked(guest, house, seat_type="double", quantity=3, party_size=6)
    after = await free(api, house, seat_type="double", to=str(api.day(9)))
    assert [(row["date"], row["free"]) for row in after if row["free"]] == [(str(api.day(9)), 3)]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"from": ""}, "from"),
        ({"from": "2026-13-01"}, "from"),
        ({"to": "soon"}, "to"),
        ({"from": "2030-01-02", "to": "2030-01-01"}, "to"),
        ({"from": "2030-01-01", "to": "2030-03-04"}, "to"),
        ({"party_size": "0"}, "party_size"),
        ({"party_size": "two"}, "party_size"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_question_for_what_is_free(api, query, path):
    house = await api.restaurant()
    query = {"from": str(api.day()), "to": str(api.day()), **query}
    response = await api.http.get(f"/vendor/{house.id}/availability", params=query)
    refused(response, 422, "invalid_request", path)


async def test_the_bounds_of_a_question_for_what_is_free(api):
    house = await api.restaurant()
    url = f"/vendor/{house.id}/availability"
    done(await api.http.get(url, params={"from": "2030-01-01", "to": "2030-03-03"}))
    for query in ({}, {"from": "2030-01-01"}, {"to": "2030-01-01"}):
        refused(await api.http.get(url, params=query), 422, "invalid_request")
    refused(
        await api.http.get(url, params={"from": "2030-01-01", "to": "2030-01-01", "seat_type": "throne"}),
        422,
        "invalid_request",
        "seat_type",
    )
    assert done(await api.http.get(url, params={"from": "0001-01-01", "to": "0001-01-02"}))["items"] == []
    assert done(await api.http.get(url, params={"from": "9999-12-30", "to": "9999-12-31"}))["items"] == []


async def test_a_hotel_has_no_email_of_a_stranger(api):
    refused(
        await api.http.post("/vendor/login", json={"email": unique_email(), "password": PASSWORD}),
        401,
        "unauthenticated",
    )
