"""Secrets of one installation: made at first start, readable by their owner alone, never shipped or printed."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_KEY_BYTES: Final = 32


class SecretsError(RuntimeError):
    """A secret's file is damaged or others can read it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """`jwt_key` signs access tokens; `ray_token_file` holds what a process needs to talk to the Ray cluster."""

    jwt_key: bytes = field(repr=False)
    ray_token_file: Path


def load_or_make(folder: Path) -> Secrets:
    """Read the secrets of the folder, making what is missing. Safe to call from several processes at once."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    jwt_key = bytes.fromhex(_load_or_make(folder / "jwt_key"))
    _load_or_make(folder / "ray_token")
    return Secrets(jwt_key=jwt_key, ray_token_file=folder / "ray_token")


def installation_key(jwt_key: str, folder: Path) -> bytes:
    """The key that everything of this installation is signed with: the hex digits given, or else the folder's own."""
    return bytes.fromhex(jwt_key) if jwt_key else load_or_make(folder).jwt_key


def derived_key(key: bytes, purpose: str) -> bytes:
    """A key for another purpose, the same on every machine that has the first, of which it tells nothing."""
    return hmac.new(key, purpose.encode(), hashlib.sha256).digest()


def _load_or_make(path: Path) -> str:
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise SecretsError(f"{path} can be read by others; run chmod 600 on it, or delete it to have a new one made")
    text = path.read_text("ascii").strip()
    if len(text) != 2 * _KEY_BYTES:
        raise SecretsError(f"{path} is damaged; delete it to have a new one made")
    return text


def _make(path: Path) -> None:
    """Written aside and linked into place, so that nobody reads half a key and the first of two writers wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, and its key is the one
    finally:
        draft.unlink()
