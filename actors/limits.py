"""The bounds of one shard: every queue, batch, memory, wait and retry has one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """`holds_per_guest_max` counts a guest's BLOCKED bookings in this shard.

    Once a batch changes `batch_words_max` seat-words or more, its other commands wait for the next one.
    `patience_seconds` is how long a command waits for a database that is away before it is told so.
    An expiry that hit a bug is tried again after `failed_expiry_rest_seconds`. `lease_trust_seconds` is how long after
    its last proof of ownership a shard answers reads from memory without asking the database again. Loading vendors,
    and settling what ended, `settle_bookings_max` at once, take `sweep_share_percent` of the time each and rest
    between. `vendor_bytes_max` bounds the compiled vendors in memory.
    `stranded_listed_max` is how many bookings a refused change of seats names. Of those who look at what is free,
    `looks_at_once` are served at a time and `looks_waiting_max` wait.
    """

    mailbox_commands_max: int = 20_000
    batch_commands_max: int = 512
    batch_words_max: int = 2048
    holds_per_guest_max: int = 1000
    settle_after_hours: int = 48
    settle_every_seconds: float = 60.0
    settle_bookings_max: int = 100
    bookings_kept_max: int = 50_000
    answers_kept_max: int = 50_000
    vendor_bytes_max: int = 2 << 30
    patience_seconds: float = 8.0
    retry_first_seconds: float = 0.05
    retry_last_seconds: float = 1.0
    guard_refusals_max: int = 3
    failed_expiry_rest_seconds: float = 60.0
    lease_check_seconds: float = 1.0
    lease_trust_seconds: float = 3.0
    stop_seconds: float = 10.0
    buckets_every_seconds: float = 5.0
    sweep_vendors: int = 25
    sweep_share_percent: int = 25
    forget_every_seconds: float = 3600.0
    forget_after_days: int = 4
    stranded_listed_max: int = 100
    settled_news_kept_max: int = 16_384
    looks_at_once: int = 2
    looks_waiting_max: int = 200
    look_wait_seconds: float = 2.0
