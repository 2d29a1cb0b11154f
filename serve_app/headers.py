"""The request headers that the contract gives a meaning to, parsed into values or refused by name."""

import re
from typing import Final

from serve_app.errors import Problem, invalid

IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
WAIT_SECONDS_MAX: Final = 30
NEVER: Final = -1
"""A version that no thing has: what a well-formed entity tag of somebody else's stands for."""

_VERSION_DIGITS_MAX: Final = 9
_STRONG_TAG: Final = re.compile(rb'"([\x21\x23-\x7e\x80-\xff]*)"')
_ANY_TAG: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_WAIT: Final = re.compile(rb"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)


def idempotency_key(raw: bytes) -> str | Problem:
    if not 1 <= len(raw) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        return invalid("Idempotency-Key", f"takes 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")
    return raw.decode("latin-1")


def expected_version(raw: bytes) -> int | Problem | None:
    """The version that If-Match names: None for `*`, NEVER for a tag that can match nothing of ours."""
    value = raw.strip()
    if value == b"*":
        return None
    if value.isdigit():
        return _version(value)
    strong = _STRONG_TAG.fullmatch(value)
    if strong is not None:
        return _version(strong.group(1))
    if _ANY_TAG.fullmatch(value) is not None:
        return NEVER
    return invalid("If-Match", 'takes one entity tag, such as "3", or *')


def wait_seconds(raw: bytes) -> int:
    """What Prefer asks: 0..30. Preferences that are not understood are ignored, as RFC 7240 wants it."""
    found = _WAIT.search(raw)
    return min(int(found.group(1)), WAIT_SECONDS_MAX) if found is not None else 0


def _version(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) <= _VERSION_DIGITS_MAX else NEVER
