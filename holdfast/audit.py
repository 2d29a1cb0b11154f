"""`holdfast verify`: the audit, straight from the database, with a progress bar."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from storage.audit import Audit, AuditReport
from storage.postgres import Database

_CONNECTIONS = 2


async def run_audit(settings: Settings, console: Console) -> AuditReport:
    """Look at everything. Raises StoreUnavailable."""
    database = Database(postgres_url(settings), "holdfast verify", _CONNECTIONS)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("auditing buckets", total=None)
            return await Audit(database).run(lambda done, total: progress.update(task, completed=done, total=total))
    finally:
        await database.close()
