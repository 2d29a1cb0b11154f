"""Ids as clients write them: 36 characters with hyphens, in either case, and nothing else that Python would accept."""

import re
from typing import Final
from uuid import UUID

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def uuid_from(text: str) -> UUID | None:
    """The id, or None for anything malformed, which a client may not tell from an unknown one."""
    return UUID(text) if _UUID.fullmatch(text) is not None else None
