"""Guests to read, from the cache first."""

from datetime import datetime
from uuid import UUID

import orjson

from domain.ids import UserId
from domain.user import User
from storage.accounts import Accounts
from storage.cache import VersionedCache


class UserReads:
    """Read-through. `note` is for whoever just wrote a user, so that nobody reads an older one from the cache.

    Never a password's hash: a `User` has none. What a change is based on is read from the accounts themselves.
    """

    def __init__(self, accounts: Accounts, cache: VersionedCache | None = None) -> None:
        self._accounts = accounts
        self._cache = cache

    async def by_id(self, user_id: UserId) -> User | None:
        """None where there is no such user. Raises StoreUnavailable only when neither store answers."""
        if self._cache is not None:
            cached = await self._cache.get(_key(user_id))
            if cached is not None:
                return _user_from_json(cached)
        era = self.era
        user = await self._accounts.user_by_id(user_id)
        if user is not None and self._cache is not None:
            await self._cache.fill(_key(user_id), user.version, orjson.dumps(user), era)
        return user

    @property
    def era(self) -> bytes:
        """The cache's, to be had before a user is written, and given to `note`."""
        return b"" if self._cache is None else self._cache.era

    async def note(self, user: User, era: bytes = b"") -> None:
        """Put a user that was written in an era into the cache, or see to it that no older one is read from there."""
        if self._cache is not None:
            await self._cache.put(_key(user.user_id), user.version, orjson.dumps(user), era)

    async def doubt(self, user_id: UserId) -> None:
        """A write of the user may have happened or not: read the database for a while."""
        if self._cache is not None:
            await self._cache.doubt(_key(user_id))


def _key(user_id: UserId) -> str:
    return f"user:{user_id}"


def _user_from_json(document: bytes) -> User:
    found = orjson.loads(document)
    found["user_id"] = UserId(UUID(found["user_id"]))
    for name in ("created_at", "updated_at"):
        found[name] = datetime.fromisoformat(found[name])
    return User(**found)
