"""The keys that sign access tokens, from the settings or from this installation's own secrets."""

from typing import Final

from holdfast.secrets import installation_key
from holdfast.settings import Settings
from serve_app.auth import SigningKeys

CURRENT_KEY: Final = "1"


def signing_keys(settings: Settings) -> SigningKeys:
    key = installation_key(settings.jwt_key, settings.secrets_dir)
    return SigningKeys(CURRENT_KEY, {CURRENT_KEY: key})
