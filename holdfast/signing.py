"""The keys that sign access tokens, from the settings or from this installation's own secrets."""

from typing import Final

from holdfast.secrets import load_or_make
from holdfast.settings import Settings
from serve_app.auth import SigningKeys

CURRENT_KEY: Final = "1"


def signing_keys(settings: Settings) -> SigningKeys:
    key = bytes.fromhex(settings.jwt_key) if settings.jwt_key else load_or_make(settings.secrets_dir).jwt_key
    return SigningKeys(CURRENT_KEY, {CURRENT_KEY: key})
