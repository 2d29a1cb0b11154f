"""The kinds of field that request models are made of: each refuses what the contract refuses and coerces nothing."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, LiteralString, TypeVar

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from domain.currency import CURRENCIES
from domain.local_time import zone_of
from domain.money import Money
from domain.vendor import Location

NO_NUL: Final = r"^[^\x00]*$"
_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?", re.ASCII)
_MICROSECOND_CHARACTERS: Final = len("18:30:00.000000")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"\d\d:\d\d", re.ASCII)
_DIGITS: Final = re.compile(r"-?\d{1,10}", re.ASCII)
_AMOUNT_DIGITS: Final = re.compile(r"-?\d{1,13}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,15})?", re.ASCII)
_PLACE: Final = re.compile(rf"({_DECIMAL.pattern}),({_DECIMAL.pattern})", re.ASCII)
_EMAIL_CHARACTERS_MAX: Final = 200

INT32_MAX: Final = 2**31 - 1
AMOUNT_MINOR_MAX: Final = 10**12


class Strict(BaseModel):
    """A request body or a part of one: unknown fields, other types and NaN are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True, hide_input_in_errors=True)


class Shown(BaseModel):
    """An answer or a part of one. Every field is there, null when there is nothing to say."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


def _text(value: Any, form: str) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a string such as {form}", {"form": form})
    return value


def _instant_or_local(value: Any) -> datetime:
    text = _text(value, "2026-12-24T18:30:00Z")
    instant = _INSTANT.fullmatch(text)
    if instant is None and _LOCAL.fullmatch(text) is None:
        raise PydanticCustomError(
            "time_form", "Input should be an instant (2026-12-24T18:30:00Z) or a local time (2026-12-24T19:30)"
        )
    try:
        if instant is None:
            return datetime.fromisoformat(text)
        day, clock, offset = instant.groups()
        return datetime.fromisoformat(f"{day}T{clock[:_MICROSECOND_CHARACTERS]}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("time_value", "Input should be a time that the calendar has") from error


def _day(value: Any) -> date:
    text = _text(value, "2026-12-24")
    try:
        if _DAY.fullmatch(text) is not None:
            return date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("day_value", "Input should be a date that the calendar has") from None
    raise PydanticCustomError("day_form", "Input should be a date: YYYY-MM-DD")


def _time_of_day(value: Any) -> time:
    text = _text(value, "19:30")
    try:
        if _TIME.fullmatch(text) is not None:
            return time.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("time_value", "Input should be a time from 00:00 to 23:59") from None
    raise PydanticCustomError("time_form", "Input should be a time: HH:MM")


def _mailable(value: Any) -> str:
    """An address by its form. Whether mail arrives is found out by sending some, so `.test` and intranet names pass."""
    text = _text(value, "ada@example.org")
    if len(text) > _EMAIL_CHARACTERS_MAX:
        raise PydanticCustomError("email", "Input should be an e-mail address of at most 200 characters")
    try:
        # The library refuses reserved top levels by the end of the name: under another end they are names like any.
        validate_email(f"{text}.example", check_deliverability=False)
    except EmailNotValidError as error:
        raise PydanticCustomError("email", "Input should be an e-mail address") from error
    return text


def _email(value: Any) -> str:
    return _mailable(value).lower()


def _digits(value: Any, form: re.Pattern[str] = _DIGITS) -> int:
    if isinstance(value, str) and form.fullmatch(value) is not None:
        return int(value)
    raise PydanticCustomError("int_parsing", "Input should be a whole number")


def _amount(value: Any) -> int:
    return _digits(value, _AMOUNT_DIGITS)


def _decimal(value: Any) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is not None:
        return float(value)
    raise PydanticCustomError("float_parsing", "Input should be a number such as 2.5")


def _flag(value: Any) -> bool:
    if value not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "Input should be true or false")
    return bool(value == "true")


def _place(value: Any) -> Location:
    found = _PLACE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("place_form", "Input should be a latitude and a longitude, such as 48.21,16.37")
    place = Location(float(found[1]), float(found[2]))
    if not (-90 <= place.lat <= 90 and -180 <= place.lon <= 180):
        raise PydanticCustomError("place_value", "Input should be a place on Earth: -90 to 90, and -180 to 180")
    return place


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("currency", "There is no such ISO 4217 currency")
    return code


def _known_zone(name: str) -> str:
    if zone_of(name) is None:
        raise PydanticCustomError("time_zone", "There is no such IANA time zone")
    return name


def fault_at(field: str, message: LiteralString) -> ValidationError:
    """What a validator of a whole model raises, so that the fault stands at the field that a client has to mend."""
    detail = InitErrorDetails(type=PydanticCustomError("together", message), loc=(field,), input=None)
    return ValidationError.from_exception_data("", [detail], hide_input=True)


class NotNull:
    """Marks a field that may be left out but not be null: the request has nothing to clear there."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_not_null, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
        return {**choices[0], **described} if len(choices) == 1 else {"anyOf": choices, **described}


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "Input should not be null; leave the field out instead")
    return value


T = TypeVar("T")
Given = Annotated[T | None, NotNull()]
"""Absent or a value, never null."""

InstantOrLocal = Annotated[
    datetime,
    PlainValidator(_instant_or_local),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?:{_INSTANT.pattern}|{_LOCAL.pattern})$",
            "description": "An instant (2026-12-24T18:30:00Z) or, without an offset, the vendor's local time.",
            "examples": ["2026-12-24T18:30:00Z", "2026-12-24T19:30"],
        }
    ),
]
"""An aware instant in UTC, or a naive vendor-local time."""

Day = Annotated[date, PlainValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
"""A date in the vendor's zone."""

TimeOfDay = Annotated[
    time, PlainValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": "^([01]\\d|2[0-3]):[0-5]\\d$"})
]
"""HH:MM on the vendor's clock."""

Email = Annotated[str, PlainValidator(_email), WithJsonSchema({"type": "string", "format": "email", "maxLength": 200})]
"""Folded to lower case, because e-mail ignores case."""

ContactEmail = Annotated[
    str, PlainValidator(_mailable), WithJsonSchema({"type": "string", "format": "email", "maxLength": 200})
]
"""As the guest wrote it."""

QueryInt = Annotated[int, PlainValidator(_digits), WithJsonSchema({"type": "integer"})]
"""A whole number in a query string, in plain digits; add bounds with `Field`."""

QueryAmount = Annotated[int, PlainValidator(_amount), WithJsonSchema({"type": "integer"})]
"""As `QueryInt`, for money in minor units, which has more digits."""

QueryNumber = Annotated[float, PlainValidator(_decimal), WithJsonSchema({"type": "number"})]
"""A number in a query string, in plain decimals; add bounds with `Field`."""

QueryFlag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]

QueryPlace = Annotated[
    Location,
    PlainValidator(_place),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_PLACE.pattern}$",
            "description": "Latitude and longitude in degrees.",
            "examples": ["48.21,16.37"],
        }
    ),
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
"""Not blank; at most 200 characters."""

Line = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
LongText = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]
Phone = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128, pattern=NO_NUL)]
Secret = Annotated[str, StringConstraints(max_length=128, pattern=NO_NUL)]
"""A password that is only compared, so that it need not be a good one."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_known_currency)]
TimeZone = Annotated[Name, AfterValidator(_known_zone)]
Count = Annotated[int, Field(ge=1, le=INT32_MAX)]
Percent = Annotated[int, Field(ge=0, le=100)]
AmountMinor = Annotated[int, Field(ge=0, le=AMOUNT_MINOR_MAX)]


class MoneyGiven(Strict):
    amount_minor: AmountMinor
    currency: Currency


class MoneyShown(Shown):
    amount_minor: int
    currency: str


def money_content(money: Money | None) -> dict[str, Any] | None:
    """The members of `MoneyShown`."""
    return None if money is None else {"amount_minor": money.amount_minor, "currency": money.currency}
