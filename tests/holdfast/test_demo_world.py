import json
from datetime import date
from zoneinfo import available_timezones

from holdfast.demo_world import PASSWORD, ZONES_MIN, DemoSize, Plan, make_world
from serve_app.booking_models import PlaceHoldBody
from serve_app.vendor_models import CreateVendorBody

TODAY = date(2026, 11, 23)


def test_the_same_seed_gives_the_same_world() -> None:
    size = DemoSize(30, 10, 200)
    assert make_world(size, 7, TODAY) == make_world(size, 7, TODAY)
    assert make_world(size, 7, TODAY) != make_world(size, 8, TODAY)


def test_even_a_small_world_has_many_zones() -> None:
    world = make_world(DemoSize(20, 5, 0), 1, TODAY)
    assert world.zones >= ZONES_MIN
    assert {house.vendor["time_zone"] for house in world.houses} <= available_timezones()


def test_a_world_has_both_kinds_and_every_plan() -> None:
    world = make_world(DemoSize(), 1, TODAY)
    assert len(world.houses) == 200
    assert len(world.guests) == 100
    visits = [visit for house in world.houses for visit in house.visits]
    assert len(visits) == 2000
    assert {visit.plan for visit in visits} == set(Plan)
    assert {house.vendor["kind"] for house in world.houses} == {"restaurant", "hotel"}
    assert any(visit.twice for visit in visits)
    assert any(visit.hesitates for visit in visits)


def test_every_house_is_one_that_the_api_takes_the_shape_of() -> None:
    world = make_world(DemoSize(), 1, TODAY)
    for number, house in enumerate(world.houses):
        login = {"email": f"house-{number}@example.com", "password": PASSWORD}
        CreateVendorBody.model_validate_json(json.dumps(house.vendor | login))
        for visit in house.visits:
            PlaceHoldBody.model_validate_json(json.dumps(visit.body))
