"""A guest with an account, and what a login is checked against. A `User` never carries a password or a token."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.ids import UserId


@dataclass(frozen=True, slots=True)
class User:
    """`email` is folded to lower case; `version` counts the changes from 1; `locale` is a BCP 47 tag."""

    user_id: UserId
    version: int
    email: str
    name: str
    created_at: datetime
    updated_at: datetime
    phone: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose account (a user's or a vendor's id), and the Argon2id hash of its password."""

    account_id: UUID
    password_hash: str
