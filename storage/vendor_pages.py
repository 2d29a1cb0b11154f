"""All vendors, page by page, for whoever builds something of all of them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.vendor import Vendor
from storage.postgres import ReadsRows
from storage.vendor_rows import vendor_from_json

_PAGE: Final = 500


class VendorPages:
    """`reads` may be a replica's: what it does not have yet is in `changed_since` of the primary."""

    def __init__(self, reads: ReadsRows) -> None:
        self._reads = reads

    async def count(self) -> int:
        return int(await self._reads.value("count_vendors"))

    async def all(self) -> AsyncIterator[Sequence[Vendor]]:
        async for page in self._pages("vendors_after"):
            yield page

    async def changed_since(self, instant: datetime) -> AsyncIterator[Sequence[Vendor]]:
        async for page in self._pages("vendors_changed_since", instant):
            yield page

    async def _pages(self, name: str, *parameters: object) -> AsyncIterator[Sequence[Vendor]]:
        after = UUID(int=0)
        while rows := await self._reads.rows(name, after, _PAGE, *parameters):
            yield [vendor_from_json(row["facts"]) for row in rows]
            after = rows[-1]["vendor_id"]
