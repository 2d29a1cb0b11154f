"""How the sandbox signs what it tells us: HMAC-SHA256 over the time stamp and the body, both in one header."""

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Final

from storage.payment_provider import BadSignature

HEADER: Final = "holdfast-sandbox-signature"
TOLERANCE: Final = timedelta(seconds=300)
"""A message whose time stamp is further off, either way, is refused: whoever recorded one cannot play it for ever."""

_SIGNATURE: Final = re.compile(r"t=(\d{1,11}),v1=([0-9a-f]{64})", re.ASCII)


def signature(secret: bytes, body: bytes, at: datetime) -> str:
    """The header's value."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_digest(secret, seconds, body)}"


def check(secret: bytes, header: str, body: bytes, now: datetime) -> None:
    """Raises BadSignature unless whoever knows the secret signed this very body a short while ago."""
    found = _SIGNATURE.fullmatch(header)
    if found is None:
        raise BadSignature("no signature of the form t=...,v1=...")
    seconds = int(found[1])
    # The signature first: nobody without the secret is told what else is wrong.
    if not hmac.compare_digest(_digest(secret, seconds, body), found[2]):
        raise BadSignature("the signature is not of this body")
    if abs(seconds - now.timestamp()) > TOLERANCE.total_seconds():
        raise BadSignature("the time stamp is too far off")


def _digest(secret: bytes, seconds: int, body: bytes) -> str:
    return hmac.new(secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()
