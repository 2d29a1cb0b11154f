"""What comes in and goes out about guests' accounts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.user import User
from serve_app.fields import Email, Given, Locale, Name, Password, Phone, Secret, Shown, Strict
from serve_app.login import TokenShown


class CreateUserBody(Strict):
    email: Email
    password: Password
    name: Name
    phone: Phone | None = None
    locale: Locale | None = None


class UpdateUserBody(Strict):
    """What is left out stays as it is; null clears `phone` and `locale`. `password` needs `current_password`."""

    name: Given[Name] = None
    phone: Phone | None = None
    locale: Locale | None = None
    password: Given[Password] = None
    current_password: Given[Secret] = None


class UserShown(Shown):
    user_id: UUID
    email: str
    name: str
    phone: str | None
    locale: str | None
    created_at: datetime
    version: int


class UserTokenShown(TokenShown):
    user_id: UUID


def user_content(user: User) -> dict[str, Any]:
    """In the members of `UserShown`."""
    return {
        "user_id": user.user_id,
        "email": user.email,
        "name": user.name,
        "phone": user.phone,
        "locale": user.locale,
        "created_at": user.created_at,
        "version": user.version,
    }
