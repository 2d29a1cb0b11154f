"""The request headers that the contract gives a meaning to, parsed into values or refused by name."""

import re
from typing import Final

from serve_app.errors import Problem, invalid

IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
WAIT_SECONDS_MAX: Final = 30
VERSIONS_MAX: Final = 10
NEVER: Final = -1
"""A version that no thing has: what a well-formed entity tag of somebody else's stands for."""

_VERSION_DIGITS_MAX: Final = 9
_MEMBER: Final = re.compile(rb'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"|(\d+)|)[ \t]*(?:,|$)')
_WAIT: Final = re.compile(rb"(?:^|,)\s*wait\s*=\s*\"?0*(\d+)\"?\s*(?:$|[,;])", re.IGNORECASE)


def idempotency_key(raw: bytes) -> str | Problem:
    if not 1 <= len(raw) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        return invalid("Idempotency-Key", f"takes 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")
    return raw.decode("latin-1")


def expected_versions(raw: bytes) -> tuple[int, ...] | Problem | None:
    """The versions of which If-Match wants one, ascending: None for `*`, NEVER where no tag can match a thing of ours."""
    if raw.strip() == b"*":
        return None
    tags = _tags(raw)
    if not tags:
        return invalid("If-Match", 'takes entity tags, such as "3", or *')
    versions = tuple(sorted(set(tags) - {NEVER})) or (NEVER,)
    if len(versions) > VERSIONS_MAX:
        return invalid("If-Match", f"takes {VERSIONS_MAX} versions at most")
    return versions


def wait_seconds(raw: bytes) -> int:
    """What Prefer asks: 0..30. Preferences that are not understood are ignored, as RFC 7240 wants it."""
    found = _WAIT.search(raw)
    if found is None:
        return 0
    digits = found.group(1)
    return WAIT_SECONDS_MAX if len(digits) > len(str(WAIT_SECONDS_MAX)) else min(int(digits), WAIT_SECONDS_MAX)


def _tags(raw: bytes) -> list[int]:
    """The version of each tag of a list (RFC 9110, 8.8.3 and 5.6.1: empty members count for nothing); none if malformed."""
    versions: list[int] = []
    position = 0
    while position < len(raw):
        member = _MEMBER.match(raw, position)
        if member is None:
            return []
        weak, opaque, digits = member.groups()
        if weak is not None:
            versions.append(NEVER)  # a weak tag never matches here
        elif opaque is not None or digits is not None:
            versions.append(_version(opaque if digits is None else digits))
        position = member.end()
    return versions


def _version(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) <= _VERSION_DIGITS_MAX else NEVER
