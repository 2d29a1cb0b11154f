"""The search indexer: every vendor that was created or changed is found as it is now."""

from collections.abc import Sequence
from typing import Final

from consumers.event import Happened, VendorHappened
from domain.ids import VendorId
from domain.vendor import Vendor
from storage.event_log import Topic
from storage.search_index import SearchIndex

TOPICS: Final = (Topic.NEW_VENDOR,)


class SearchIndexer:
    """A `Handler`. What the index has in a later version stays, so repeats and replays change nothing."""

    topics: Sequence[Topic] = TOPICS

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    async def handle(self, events: Sequence[Happened]) -> None:
        newest: dict[VendorId, Vendor] = {}
        for event in events:
            if isinstance(event, VendorHappened):
                vendor = event.vendor
                known = newest.get(vendor.vendor_id)
                if known is None or known.version < vendor.version:
                    newest[vendor.vendor_id] = vendor
        await self._index.put(list(newest.values()))
