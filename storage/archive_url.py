"""Which archive a process uses: its address says so, and nobody asks anywhere else."""

from typing import Final

from storage.archive import Archive
from storage.postgres import Database
from storage.postgres_archive import PostgresArchive

_POSTGRES_CONNECTIONS_MAX: Final = 4


def archive_at(archive_url: str, postgres_url: str) -> Archive:
    """Cassandra at a `cassandra://` address, the table of the installation's own Postgres where there is none.

    Nothing is connected before it is used. Raises ValueError for an address that is neither.
    """
    if not archive_url:
        return PostgresArchive(Database(postgres_url, "holdfast archive", _POSTGRES_CONNECTIONS_MAX))
    # The driver starts slowly, and the embedded default never needs it.
    from storage.cassandra_archive import CassandraArchive  # noqa: PLC0415

    return CassandraArchive(archive_url)
