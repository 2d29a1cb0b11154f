from datetime import UTC, date, datetime, time

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.booking_models import AmendBody, PlaceHoldBody
from serve_app.fields import Day, Email, Given, InstantOrLocal, Line, LongText, Name, QueryInt, TimeOfDay


def parsed(kind, value):
    return TypeAdapter(kind).validate_json(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-24T18:30:00Z", datetime(2026, 12, 24, 18, 30, tzinfo=UTC)),
        ("2026-12-24T19:30:00+01:00", datetime(2026, 12, 24, 18, 30, tzinfo=UTC)),
        ("2026-12-24t18:30:00z", datetime(2026, 12, 24, 18, 30, tzinfo=UTC)),
        ("2026-12-24T18:30Z", datetime(2026, 12, 24, 18, 30, tzinfo=UTC)),
        ("2026-12-24t18:30:00.1234569+00:00", datetime(2026, 12, 24, 18, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-12-24T18:30:00." + "9" * 60 + "Z", datetime(2026, 12, 24, 18, 30, 0, 999_999, tzinfo=UTC)),
        ("2026-12-24T19:30", datetime.fromisoformat("2026-12-24T19:30")),
        ("2026-12-24T19:30:15.5", datetime.fromisoformat("2026-12-24T19:30:15.5")),
        ("9999-12-31T23:59", datetime.fromisoformat("9999-12-31T23:59")),
    ],
)
def test_times(text, moment):
    found = parsed(InstantOrLocal, f'"{text}"')
    assert found == moment
    assert found.tzinfo == moment.tzinfo


@pytest.mark.parametrize(
    "text",
    [
        '"2026-12-24"',
        '"2026-12-24 19:30"',
        '"2026-12-24t19:30"',
        '"2026-12-24T19:30:00.1234567"',
        '"2026-12-24T19:305Z"',
        '"2026-12-24T19:30:00.Z"',
        '"20261224T1930"',
        '"2026-W52-4T19:30"',
        '"2026-13-01T00:00"',
        '"2026-02-30T00:00"',
        '"2026-12-24T24:00"',
        '"2026-12-24T19:60"',
        '"2026-12-24T19:30+25:00"',
        '"2026-12-24T19:30 "',
        '"2026-12-24T19:30\\n"',
        '"٢026-12-24T19:30"',
        '"9999-12-31T23:59-12:00"',
        '"0001-01-01T00:00+12:00"',
        '"1735000000"',
        "1735000000",
        "true",
        "[]",
        "NaN",
    ],
)
def test_what_is_no_time(text):
    with pytest.raises(ValidationError):
        parsed(InstantOrLocal, text)


def test_days_and_times_of_day():
    assert parsed(Day, '"2026-12-24"') == date(2026, 12, 24)
    assert parsed(TimeOfDay, '"19:30"') == time(19, 30)
    for text in ('"2026-2-4"', '"2026-02-30"', '"20261224"', "20261224", '"2026-12-24T00:00"', "null"):
        with pytest.raises(ValidationError):
            parsed(Day, text)
    for text in ('"24:00"', '"19:60"', '"7:30"', '"19:30:00"', "1930", "null"):
        with pytest.raises(ValidationError):
            parsed(TimeOfDay, text)


def test_texts():
    assert parsed(Name, '"Chez Ada"') == "Chez Ada"
    assert len(parsed(LongText, '"' + "ä" * 2000 + '"')) == 2000
    for kind, text in ((Name, '""'), (Name, '"  "'), (Name, '"' + "x" * 201 + '"'), (LongText, '"' + "x" * 2001 + '"')):
        with pytest.raises(ValidationError):
            parsed(kind, text)


@pytest.mark.parametrize("kind", [Name, Line, LongText])
@pytest.mark.parametrize("text", ['"a\\u0000b"', '"a\x00b"', '"\\ud800"', "1", "true", "[]"])
def test_no_text_holds_a_nul_or_is_another_thing(kind, text):
    with pytest.raises(ValidationError):
        parsed(kind, text)


def test_emails_ignore_case():
    assert parsed(Email, '"Ada.Lovelace@Example.ORG"') == "ada.lovelace@example.org"
    assert parsed(Email, '"ada@inside.local"') == "ada@inside.local"
    for text in (
        '"ada"',
        '"@x"',
        '"a@[1.2.3.4]"',
        '"a@x."',
        '"a@"',
        '"a@b@c"',
        '"a b@c.org"',
        '"' + "a" * 250 + '@x.org"',
        "1",
        '"a\\u0000@x.org"',
    ):
        with pytest.raises(ValidationError):
            parsed(Email, text)


@pytest.mark.parametrize("text", ["1_0", "1.0", " 1", "1e3", "", "٣", "+1", "99999999999", "0x1"])
def test_numbers_in_a_query_are_plain_digits(text):
    assert TypeAdapter(QueryInt).validate_python("10") == 10
    with pytest.raises(ValidationError):
        TypeAdapter(QueryInt).validate_python(text)


@pytest.mark.parametrize(
    "body",
    [
        '{"party_size": "2"}',
        '{"party_size": 2.0}',
        '{"party_size": 2.5}',
        '{"party_size": true}',
        '{"party_size": null}',
        '{"party_size": NaN}',
        '{"party_size": Infinity}',
        '{"party_size": 0}',
        '{"party_size": -1}',
        "{}",
        "[]",
        "null",
        "",
        '{"party_size": 2',
        '{"party_size": 2, "price": {"amount_minor": 1, "currency": "EUR"}}',
        '{"party_size": 2, "contact": {"name": "A", "nick": "B"}}',
        '{"party_size": 2, "contact": []}',
        '{"party_size": 2, "quantity": "1"}',
        "[" * 100_000,
        '{"party_size": 2, "notes": ' + "[" * 50_000,
    ],
)
def test_nothing_is_coerced_and_nothing_unknown_is_taken(body):
    with pytest.raises(ValidationError):
        TypeAdapter(PlaceHoldBody).validate_json(body)


def test_absent_is_not_null():
    assert AmendBody.model_validate_json("{}").party_size is None
    with pytest.raises(ValidationError) as caught:
        AmendBody.model_validate_json('{"party_size": null}')
    assert caught.value.errors()[0]["loc"] == ("party_size",)
    schema = TypeAdapter(Given[int]).json_schema()
    assert schema == {"type": "integer"}
