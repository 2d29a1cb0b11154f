"""Vendors to read, from the cache first."""

from domain.ids import VendorId
from domain.vendor import Vendor
from storage.cache import VersionedCache
from storage.postgres import Database
from storage.vendor_rows import vendor_from_json, vendor_json


class VendorReads:
    """Read-through. `note` is for whoever just wrote a vendor, so that its own reads never show an older one."""

    def __init__(self, database: Database, cache: VersionedCache | None = None) -> None:
        self._database = database
        self._cache = cache

    async def by_id(self, vendor_id: VendorId) -> Vendor | None:
        """None where there is no such vendor. Raises StoreUnavailable only when neither store answers."""
        key = _key(vendor_id)
        if self._cache is not None:
            cached = await self._cache.get(key)
            if cached is not None:
                return vendor_from_json(cached)
        era = self.era
        row = await self._database.row("vendor_facts", vendor_id)
        if row is None:
            return None
        if self._cache is not None:
            await self._cache.fill(key, row["version"], row["facts"].encode(), era)
        return vendor_from_json(row["facts"])

    async def doubt(self, vendor_id: VendorId) -> None:
        """A change of the vendor may have happened and not be in the cache: read the database for a while."""
        if self._cache is not None:
            await self._cache.doubt(_key(vendor_id))

    @property
    def era(self) -> bytes:
        """The cache's, to be had before a vendor is written, and given to `note`."""
        return b"" if self._cache is None else self._cache.era

    async def note(self, vendor: Vendor, era: bytes = b"") -> None:
        """Put a vendor that was written in an era into the cache, or see to it that no older one is read from there."""
        if self._cache is not None:
            await self._cache.put(_key(vendor.vendor_id), vendor.version, vendor_json(vendor), era)


def _key(vendor_id: VendorId) -> str:
    return f"vendor:{vendor_id}"
