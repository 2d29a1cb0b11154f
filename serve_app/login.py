"""Logging in, the same for guests and vendors: the answer and its time do not tell a wrong address from a wrong password."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from actors.outcome import Trouble
from domain.command import Role
from domain.rejection import Reason
from domain.user import Credentials
from serve_app.auth import Tokens
from serve_app.errors import EdgeCode, Problem
from serve_app.fields import Line, Secret, Shown, Strict
from serve_app.passwords import Passwords, PasswordsBusy
from serve_app.ports import Accounts
from serve_app.rate_limits import RateLimits
from storage.errors import StoreError

_WRONG: Final = Problem(EdgeCode.UNAUTHENTICATED, "The e-mail address or the password is wrong.")
BUSY: Final = Problem(Trouble.OVERLOADED, "Too many logins at once; try again in a moment.", retry_after_seconds=2)

_log = logging.getLogger(__name__)


class LoginBody(Strict):
    email: Line
    password: Secret


class TokenShown(Shown):
    access_token: str
    token_type: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class LoginDesk:
    """Checks passwords for one role. `find` looks credentials up by an address folded to lower case."""

    role: Role
    find: Callable[[str], Awaitable[Credentials | None]]
    accounts: Accounts
    passwords: Passwords
    limits: RateLimits
    tokens: Tokens

    async def login(self, body: LoginBody, address: str) -> Problem | UUID:
        """Whose account it is, or the refusal. Only failed tries count against the limits."""
        email = body.email.lower()
        blocked = await self._blocked(email, address)
        if blocked is not None:
            return blocked
        found = await self.find(email)
        try:
            right = await self.passwords.matches(None if found is None else found.password_hash, body.password)
        except PasswordsBusy:
            return BUSY
        if found is None or not right:
            await self.limits.login_failed(self.role, email, address)
            return _WRONG
        # Asked again, because many guesses sent at once all found the first door open.
        blocked = await self._blocked(email, address)
        if blocked is not None:
            return blocked
        if self.passwords.outdated(found.password_hash):
            await self._rehash(found, body.password)
        return found.account_id

    def token_content(self, account_id: UUID) -> dict[str, Any]:
        return {
            "access_token": self.tokens.issue(self.role, account_id),
            "token_type": "Bearer",
            "expires_in": self.tokens.ttl_seconds,
        }

    async def _rehash(self, found: Credentials, password: str) -> None:
        """Where it fails, the password was right all the same: the next login tries it again."""
        try:
            await self.accounts.rehash(self.role, found, await self.passwords.hash(password))
        except (PasswordsBusy, StoreError) as error:
            kind = type(error).__name__  # not its text, which a driver may have put a hash into
            who = f"{self.role} {found.account_id}"
            _log.warning("%s keeps an outdated password hash until the next login: %s", who, kind)

    async def _blocked(self, email: str, address: str) -> Problem | None:
        wait = await self.limits.login_wait(self.role, email, address)
        return None if wait is None else too_many("Too many failed logins.", wait)


def too_many(what: str, wait_seconds: int) -> Problem:
    return Problem(Reason.RATE_LIMITED, f"{what} Try again in {wait_seconds} s.", retry_after_seconds=wait_seconds)
