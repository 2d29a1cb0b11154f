"""Which search index an installation has: its URL says it."""

from typing import Final

from storage.postgres import Database
from storage.postgres_search_index import SETTINGS, PostgresSearchIndex
from storage.search_index import SearchIndex

_POSTGRES_CONNECTIONS_MAX: Final = 4


def search_index_at(search_url: str, postgres_url: str) -> SearchIndex:
    """Elasticsearch at an `http://host:port/alias` address, tables of the installation's own Postgres where there is none.

    Nothing is connected before it is used. Raises ValueError for an address that is neither.
    """
    if not search_url:
        return PostgresSearchIndex(
            Database(postgres_url, "holdfast search", _POSTGRES_CONNECTIONS_MAX, settings=SETTINGS)
        )
    # The client starts slowly, and the embedded default never needs it.
    from storage.elasticsearch_index import ElasticsearchIndex  # noqa: PLC0415

    return ElasticsearchIndex(search_url)
