"""Who may log in: guests' accounts, and the logins of vendors. E-mail addresses come folded to lower case."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain.command import Role
from domain.ids import UserId, VendorId
from domain.user import Credentials, User
from storage.errors import EmailTaken, VersionConflict
from storage.postgres import Database

_TABLE_OF: Final = {Role.USER: "user", Role.VENDOR: "vendor"}
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


class Accounts:
    """Each method is one statement; any may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_user(self, user: User, password_hash: str) -> None:
        """Raises EmailTaken."""
        try:
            await self._database.value(
                "insert_user",
                user.user_id,
                user.version,
                user.email,
                password_hash,
                user.name,
                user.phone,
                user.locale,
                user.created_at,
                user.updated_at,
            )
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "user_email_key":
                raise
            raise EmailTaken(user.email) from error

    async def user_by_id(self, user_id: UserId) -> User | None:
        row = await self._database.row("user_by_id", user_id)
        return None if row is None else User(**(dict(row) | {"user_id": UserId(UUID(int=row["user_id"].int))}))

    async def user_credentials(self, user_id: UserId) -> Credentials | None:
        return await self._credentials("user_credentials", user_id)

    async def user_login_by_email(self, email: str) -> Credentials | None:
        return await self._credentials("user_login_by_email", email)

    async def vendor_login_by_email(self, email: str) -> Credentials | None:
        return await self._credentials("vendor_login_by_email", email)

    async def vendor_email(self, vendor_id: VendorId) -> str | None:
        email: str | None = await self._database.value("vendor_email", vendor_id)
        return email

    async def update_user(
        self,
        user: User,
        *,
        expected_version: int,
        password_hash: str | None = None,
        tokens_valid_from: datetime | None = None,
    ) -> None:
        """Store the user, whose version is one above the expected; raises VersionConflict. None leaves a column."""
        if user.version != expected_version + 1:
            raise ValueError(f"version {user.version} does not follow {expected_version}")
        found = await self._database.value(
            "update_user",
            user.user_id,
            expected_version,
            user.name,
            user.phone,
            user.locale,
            user.updated_at,
            password_hash,
            tokens_valid_from,
        )
        if found is None:
            raise VersionConflict(f"user {user.user_id} is not at version {expected_version}")

    async def rehash(self, role: Role, checked: Credentials, password_hash: str) -> None:
        """Keep the same password under newer Argon2 parameters; tokens stay valid and the version stays.

        Nothing happens where another password was set since the old hash was checked.
        """
        name = f"rehash_{_TABLE_OF[role]}"
        await self._database.value(name, checked.account_id, checked.password_hash, password_hash)

    async def tokens_valid_from(self, role: Role, account_id: UUID) -> datetime | None:
        """Tokens issued before this instant are over; None where there is no such account."""
        found: datetime | None = await self._database.value(f"{_TABLE_OF[role]}_tokens_valid_from", account_id)
        return None if found is None else max(found.replace(tzinfo=UTC), _ALWAYS)

    async def _credentials(self, name: str, key: object) -> Credentials | None:
        row = await self._database.row(name, key)
        return None if row is None else Credentials(UUID(int=row["account_id"].int), row["password_hash"])
