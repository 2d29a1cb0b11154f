"""The user service: guests open an account, log in, and look after it."""

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from domain.command import Role
from domain.ids import UserId
from domain.rejection import Reason
from domain.user import User
from serve_app.answer import json_answer
from serve_app.auth import Tokens
from serve_app.errors import Problem, forbidden, invalid, not_found
from serve_app.login import BUSY, LoginBody, LoginDesk, too_many
from serve_app.operation import ANYONE, LOGGED_IN, Call, Operation, Result
from serve_app.passwords import Passwords, PasswordsBusy
from serve_app.ports import Accounts, Clock, RandomBits, UserReads
from serve_app.rate_limits import RateLimits
from serve_app.service import About, Service
from serve_app.user_models import CreateUserBody, UpdateUserBody, UserShown, UserTokenShown, user_content
from storage.errors import EmailTaken, VersionConflict

PREFIX: Final = "/user"
ABOUT: Final = About("user", PREFIX, "Holdfast: guests", "Accounts of guests: open one, log in, change it.")

EMAIL_TAKEN: Final = Problem(Reason.EMAIL_TAKEN, "Another account has this e-mail address.")
_NO_SUCH: Final = not_found("There is no such user.")
_STALE: Final = Problem(Reason.VERSION_CONFLICT, "Somebody changed the account meanwhile; read it again.")
_WRITE_TRIES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class UserDeps:
    accounts: Accounts
    users: UserReads
    tokens: Tokens
    passwords: Passwords
    limits: RateLimits
    clock: Clock
    random_bits: RandomBits
    trust_forwarded: bool = False


def user_app(deps: UserDeps) -> Service:
    """The ASGI application of every /user route."""
    return Service(ABOUT, Users(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class Users:
    def __init__(self, deps: UserDeps) -> None:
        self._deps = deps
        self._desk = LoginDesk(
            Role.USER, deps.accounts.user_login_by_email, deps.accounts, deps.passwords, deps.limits, deps.tokens
        )

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "POST",
                f"{PREFIX}/create",
                "Open an account",
                ANYONE,
                self.create,
                body=CreateUserBody,
                answer=UserShown,
                status=201,
                tagged=True,
                codes=(Reason.EMAIL_TAKEN, Reason.RATE_LIMITED, BUSY.code),
            ),
            Operation(
                "POST",
                f"{PREFIX}/login",
                "Get a token",
                ANYONE,
                self.login,
                body=LoginBody,
                answer=UserTokenShown,
                codes=(Reason.RATE_LIMITED, BUSY.code),
            ),
            Operation("GET", f"{PREFIX}/{{user_id}}", "One guest", LOGGED_IN, self.show, answer=UserShown, tagged=True),
            Operation(
                "PUT",
                f"{PREFIX}/{{user_id}}",
                "Change an account; a new password ends older tokens",
                LOGGED_IN,
                self.update,
                body=UpdateUserBody,
                answer=UserShown,
                takes_version=True,
                tagged=True,
                codes=(Reason.RATE_LIMITED, BUSY.code),
            ),
        ]

    async def create(self, call: Call[CreateUserBody, None]) -> Result:
        body, deps = call.body, self._deps
        wait = await deps.limits.account_wait(call.address)
        if wait is not None:
            return too_many("Too many new accounts from this address.", wait)
        try:
            password_hash = await deps.passwords.hash(body.password)
        except PasswordsBusy:
            return BUSY
        now = deps.clock()
        user_id = UserId(UUID(int=deps.random_bits(), version=4))
        user = User(user_id, 1, body.email, body.name, now, now, body.phone, body.locale)
        era = deps.users.era
        try:
            await deps.accounts.create_user(user, password_hash)
        except EmailTaken:
            return EMAIL_TAKEN
        await deps.users.note(user, era)
        return json_answer(user_content(user), status=201, version=1)

    async def login(self, call: Call[LoginBody, None]) -> Result:
        result = await self._desk.login(call.body, call.address)
        if isinstance(result, Problem):
            return result
        return json_answer({**self._desk.token_content(result), "user_id": result})

    async def show(self, call: Call[None, None]) -> Result:
        if call.account.role is not Role.OPERATOR and call.account.account_id != call.id:
            return _NO_SUCH
        user = await self._deps.users.by_id(UserId(call.id))
        return _NO_SUCH if user is None else json_answer(user_content(user), version=user.version)

    async def update(self, call: Call[UpdateUserBody, None]) -> Result:
        if call.account.role is Role.OPERATOR:
            return forbidden("Only guests change their own account.")
        if call.account.account_id != call.id:
            return _NO_SUCH
        password_hash = None
        if call.body.password is not None:
            checked = await self._new_password_hash(call, call.body.password)
            if isinstance(checked, Problem):
                return checked
            password_hash = checked
        for _ in range(_WRITE_TRIES_MAX):
            result = await self._write(call, password_hash)
            if result is not None:
                return result
        return _STALE

    async def _write(self, call: Call[UpdateUserBody, None], password_hash: str | None) -> Result | None:
        """One try; None where somebody else was quicker and the caller named no version, so that it may be tried again."""
        user = await self._deps.accounts.user_by_id(UserId(call.id))
        if user is None:
            return _NO_SUCH
        if call.version is not None and call.version != user.version:
            return await self._stale(user)
        now = self._deps.clock()
        given = call.body.model_fields_set
        changed = replace(
            user,
            name=user.name if call.body.name is None else call.body.name,
            phone=call.body.phone if "phone" in given else user.phone,
            locale=call.body.locale if "locale" in given else user.locale,
        )
        if changed == user and password_hash is None:
            return json_answer(user_content(user), version=user.version)
        changed = replace(changed, version=user.version + 1, updated_at=now)
        era = self._deps.users.era
        try:
            await self._deps.accounts.update_user(
                changed,
                expected_version=user.version,
                password_hash=password_hash,
                tokens_valid_from=None if password_hash is None else now,
            )
        except VersionConflict:
            return None if call.version is None else await self._stale(user)
        except BaseException:
            # Lost on the way, or left by its client, it may have been written all the same.
            await self._deps.users.doubt(user.user_id)
            raise
        await self._deps.users.note(changed, era)
        return json_answer(user_content(changed), version=changed.version)

    async def _stale(self, user: User) -> Problem:
        """The caller may have the version from a cache that nobody told of the newer one, and is to read it there no more."""
        await self._deps.users.doubt(user.user_id)
        return _STALE

    async def _new_password_hash(self, call: Call[UpdateUserBody, None], password: str) -> str | Problem:
        """Whoever holds a token alone may not take the account over: the old password is asked for."""
        if call.body.current_password is None:
            return invalid("current_password", "Field required with a new password")
        deps = self._deps
        held = await deps.accounts.user_credentials(UserId(call.id))
        if held is None:
            return _NO_SUCH
        # Guesses count like failed logins, under the account's id.
        who = str(call.id)
        wait = await deps.limits.login_wait(Role.USER, who, call.address)
        if wait is not None:
            return too_many("Too many wrong passwords.", wait)
        try:
            if not await deps.passwords.matches(held.password_hash, call.body.current_password):
                await deps.limits.login_failed(Role.USER, who, call.address)
                return forbidden("current_password is wrong.")
            return await deps.passwords.hash(password)
        except PasswordsBusy:
            return BUSY
