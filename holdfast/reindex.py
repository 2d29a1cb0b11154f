"""`holdfast reindex`: builds the search index anew from Postgres while the one in use goes on serving, with a progress bar."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain.vendor import Vendor
from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from storage.postgres import Database
from storage.replicas import ReplicaReads, replica_at
from storage.search_index_url import search_index_at
from storage.vendor_pages import VendorPages

_CONNECTIONS: Final = 2
_NAME: Final = "holdfast reindex"
_REPLICA_BEHIND_MAX: Final = timedelta(minutes=10)
"""Far more than a replica may lag, a commit may take, and clocks may differ, together."""


async def run_reindex(settings: Settings, console: Console) -> int:
    """How many vendors the new index has. Raises StoreUnavailable, or StoreError when another one began meanwhile.

    Replicas may serve the pages, so what changed since shortly before the beginning is read once more at the end, from
    the primary. What changes from the beginning on, the search indexer puts into both indexes.
    """
    async with AsyncExitStack() as stack:
        url = postgres_url(settings)
        primary = Database(url, _NAME, _CONNECTIONS)
        stack.push_async_callback(primary.close)
        replicas = [replica_at(each, _NAME, _CONNECTIONS) for each in settings.postgres_replica_urls.split()]
        reads = ReplicaReads(primary, replicas)
        stack.push_async_callback(reads.close)
        index = search_index_at(settings.search_url, url)
        stack.push_async_callback(index.close)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            await index.rebuild(_all_vendors(VendorPages(reads), VendorPages(primary), progress))
        return await index.count()


async def _all_vendors(reads: VendorPages, primary: VendorPages, progress: Progress) -> AsyncIterator[Sequence[Vendor]]:
    began = datetime.now(UTC)
    task = progress.add_task("indexing vendors", total=await reads.count())
    async for page in reads.all():
        yield page
        progress.advance(task, len(page))
    progress.update(task, description="indexing what changed meanwhile")
    async for page in primary.changed_since(began - _REPLICA_BEHIND_MAX):
        yield page
