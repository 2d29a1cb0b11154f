"""Where the stores are: the ones that the settings name, else the embedded ones."""

from holdfast.embedded_postgres import EmbeddedPostgres
from holdfast.embedded_valkey import EmbeddedValkey
from holdfast.settings import Settings


def postgres_url(settings: Settings) -> str:
    """Raises FileNotFoundError where the embedded one was never started."""
    if settings.postgres_url:
        return settings.postgres_url
    return EmbeddedPostgres(settings.data_dir / "postgres", settings.postgres_port).url


def redis_url(settings: Settings) -> str:
    return settings.redis_url or EmbeddedValkey(settings.data_dir / "valkey", settings.valkey_port).url
