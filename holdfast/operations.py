"""The operator's view of the shards: what the directory says, and what each living actor adds."""

import asyncio
from collections.abc import Sequence
from typing import Any

import ray

from actors.errors import CallLost, NobodyThere
from actors.ray_client import RayCalls
from actors.shard_actor import NAMESPACE
from actors.shard_stats import ShardStats
from actors.supervisor_actor import SUPERVISOR
from serve_app.ports import AuditFigure, ShardReport
from storage.audit import Audit
from storage.directory import Directory, ShardRow


class ClusterOperations:
    """`serve_app.ports.Operations` over the directory, the audit and the actors of this cluster."""

    def __init__(self, directory: Directory, audit: Audit, calls: RayCalls) -> None:
        self._directory = directory
        self._audit = audit
        self._calls = calls

    async def shards(self) -> Sequence[ShardReport]:
        rows = await self._directory.shards()
        return await asyncio.gather(*(self._report(row) for row in rows))

    async def move(self, shard_id: int, to_node: str | None) -> ShardReport | None:
        if to_node is not None and to_node not in await asyncio.to_thread(_living_nodes):
            raise LookupError(to_node)
        supervisor = await asyncio.to_thread(lambda: ray.get_actor(SUPERVISOR, namespace=NAMESPACE))
        if not await supervisor.move.remote(shard_id, to_node):
            return None
        return next((report for report in await self.shards() if report.shard_id == shard_id), None)

    async def verify(self) -> Sequence[AuditFigure]:
        return [
            AuditFigure(figure.name, figure.counted, figure.faults, figure.judged, figure.examples)
            for figure in (await self._audit.run()).figures
        ]

    async def _report(self, row: ShardRow) -> ShardReport:
        try:
            stats = await self._calls.stats(row.shard_id)
        except (CallLost, NobodyThere):
            stats = None
        return report_of(row, stats)


def report_of(row: ShardRow, stats: ShardStats | None) -> ShardReport:
    """What is known of one shard; without stats nobody answered."""
    live: dict[str, Any] = {}
    if stats is not None:
        live = {
            "bookings": stats.bookings_written,
            "batch_commands": stats.batch_size_mean,
            "queue": stats.queue,
            "commit_p50_ms": stats.commit_p50_ms,
            "commit_p99_ms": stats.commit_p99_ms,
        }
    return ShardReport(
        shard_id=row.shard_id,
        owner=row.actor_id,
        epoch=row.epoch,
        node=row.node,
        pid=row.pid,
        buckets=row.buckets,
        express_address=row.address,
        **live,
    )


def _living_nodes() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
