"""Tokens: who the caller is. HS256 by PyJWT, with a bounded map of tokens already verified.

Verifying a signature costs 51 us, nearly a whole hold, so a verified token is remembered until it expires; what may
change meanwhile, the instant from which the account's tokens are valid, is looked up again every 30 s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt

from domain.command import Caller, Role
from serve_app.ids import uuid_from
from serve_app.ports import Clock, TokenValidity

ALGORITHM: Final = "HS256"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - the media type of an access token (RFC 9068), no secret
ISSUER: Final = "holdfast"
AUDIENCE: Final = "holdfast-api"

_SCHEME: Final = b"bearer "
_TOKEN_BYTES_MAX: Final = 2048
_RECHECK: Final = timedelta(seconds=30)
_ROLES: Final = {role.value: role for role in (Role.USER, Role.VENDOR, Role.OPERATOR)}
_CLAIMS: Final = ["iss", "aud", "exp", "iat", "sub", "role"]
_FUTURE_SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Secrets by key id, at least 32 bytes each; new tokens are signed with `current`, all are accepted."""

    current: str
    secrets: Mapping[str, bytes]


@dataclass(slots=True)
class _Verified:
    caller: Caller
    issued_at: datetime
    expires_at: datetime
    fresh_until: datetime


class Tokens:
    """Issues tokens and says whose a token is."""

    def __init__(
        self,
        keys: SigningKeys,
        validity: TokenValidity,
        clock: Clock,
        *,
        ttl_seconds: int = 3600,
        kept_max: int = 50_000,
    ) -> None:
        self._keys = keys
        self._validity = validity
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._kept_max = kept_max
        self._verified: dict[bytes, _Verified] = {}

    @property
    def ttl_seconds(self) -> int:
        return self._ttl_seconds

    def issue(self, role: Role, account_id: UUID) -> str:
        """A token for `ttl_seconds`. Its `iat` has microseconds, so that it is newer than a password just changed."""
        return issue(self._keys, role, account_id, now=self._clock(), ttl_seconds=self._ttl_seconds)

    def known(self, authorization: bytes) -> Caller | None:
        """The caller, if this very header was verified a short while ago; the way of nearly every request."""
        verified = self._verified.get(authorization)
        if verified is None or self._clock() >= verified.fresh_until:
            return None
        return verified.caller

    async def caller(self, authorization: bytes) -> Caller | None:
        """Whose token the Authorization header carries; None where it is not, or no longer, a valid one."""
        now = self._clock()
        verified = self._verified.get(authorization)
        if verified is None:
            verified = self._verify(authorization, now)
        if verified is None or now >= verified.expires_at or not await self._still_valid(verified):
            self._verified.pop(authorization, None)
            return None
        verified.fresh_until = min(verified.expires_at, now + _RECHECK)
        self._remember(authorization, verified)
        return verified.caller

    async def _still_valid(self, verified: _Verified) -> bool:
        if verified.caller.role is Role.OPERATOR:
            return True
        valid_from = await self._validity.tokens_valid_from(verified.caller.role, verified.caller.account_id)
        return valid_from is not None and verified.issued_at >= valid_from

    def _remember(self, authorization: bytes, verified: _Verified) -> None:
        if authorization not in self._verified and len(self._verified) >= self._kept_max:
            del self._verified[next(iter(self._verified))]
        self._verified[authorization] = verified

    def _verify(self, authorization: bytes, now: datetime) -> _Verified | None:
        if len(authorization) > _TOKEN_BYTES_MAX or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        claims = self._claims(authorization[len(_SCHEME) :].strip())
        return None if claims is None else _verified_of(claims, now)

    def _claims(self, token: bytes) -> dict[str, Any] | None:
        try:
            header = jwt.get_unverified_header(token)
            secret = self._keys.secrets.get(str(header.get("kid")))
            if secret is None or header.get("typ") != TOKEN_TYPE:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # Times are judged by our own clock, in `_verified_of`.
                options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError):
            return None
        return claims


def issue(keys: SigningKeys, role: Role, account_id: UUID, *, now: datetime, ttl_seconds: int) -> str:
    """Sign a token; the composition root uses it alone to print an operator's."""
    issued = now.timestamp()
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account_id),
        "role": role.value,
        "iat": issued,
        "exp": int(issued) + ttl_seconds,
    }
    headers = {"kid": keys.current, "typ": TOKEN_TYPE}
    return jwt.encode(claims, keys.secrets[keys.current], algorithm=ALGORITHM, headers=headers)


def _verified_of(claims: Mapping[str, Any], now: datetime) -> _Verified | None:
    role = _ROLES.get(str(claims["role"]))
    account_id = uuid_from(str(claims["sub"]))
    issued, expires = _instant(claims["iat"]), _instant(claims["exp"])
    if role is None or account_id is None or issued is None or expires is None:
        return None
    if now >= expires or issued > now + timedelta(seconds=_FUTURE_SECONDS_MAX):
        return None
    return _Verified(Caller(role, account_id), issued, expires, fresh_until=now)


def _instant(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
