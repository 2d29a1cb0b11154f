"""The name under which a first success is remembered: caller, vendor and the caller's key, as one short digest."""

from hashlib import blake2b

from actors.outcome import Done, Outcome
from domain.command import Caller, Once
from domain.ids import VendorId
from domain.rejection import Reason, Rejection
from storage.shard_store import Answer


def scope_of(caller: Caller, vendor_id: VendorId, once: Once) -> bytes:
    """16 bytes; the fixed-length parts come first, so that no two different triples share one input."""
    material = b"%b%b%b%b" % (
        caller.account_id.bytes,
        vendor_id.bytes,
        caller.role.value[:1].encode(),
        once.key.encode("utf-8", "surrogatepass"),
    )
    return blake2b(material, digest_size=16).digest()


def replay(answer: Answer, once: Once) -> Outcome:
    """The first answer again, or the refusal when the key now comes with another request."""
    if answer.fingerprint != once.fingerprint:
        return Rejection(
            Reason.IDEMPOTENCY_KEY_REUSED, "This idempotency key was used before with a different request."
        )
    return Done(answer.booking, replayed=True)
