"""Every knob of Holdfast. The only reader of the environment; each setting is documented in docs/reference/settings.md."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

INTERNAL_PORTS: Final = 140
"""How many ports from `internal_port_first` on belong to the cluster's own machinery."""

Port = Annotated[int, Field(ge=1024, le=65535)]


def absolute(path: Path) -> Path:
    return path.expanduser().resolve()


class Settings(BaseSettings):
    """Read from HOLDFAST_* variables; the defaults run everything embedded, on loopback, in one folder."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", frozen=True, extra="forbid", hide_input_in_errors=True)

    data_dir: Annotated[Path, AfterValidator(absolute)] = Field(
        default=Path(".holdfast"),
        validate_default=True,
        description="folder for everything that must last: rows, cache, secrets and logs",
    )
    postgres_url: str = Field(
        default="", repr=False, description="`postgresql://...` of your own server; empty runs the embedded one"
    )
    redis_url: str = Field(
        default="", repr=False, description="`redis://...` of your own server; empty runs the embedded Valkey"
    )
    postgres_replica_urls: str = Field(
        default="",
        repr=False,
        description="`postgresql://...` of streaming replicas of that server, separated by spaces; lists are read from "
        "them while they lag less than a second",
    )
    event_log_url: str = Field(
        default="",
        repr=False,
        description="`kafka://host:port,host:port` of your own brokers; empty keeps the event log in Postgres",
    )
    search_url: str = Field(
        default="",
        repr=False,
        description="`http://...` of your own Elasticsearch, its path the name of the index (`/vendors`); "
        "empty keeps the search index in Postgres",
    )
    archive_url: str = Field(
        default="",
        repr=False,
        description="`cassandra://host:port,host:port/keyspace` of your own cluster; empty keeps the archive in Postgres",
    )
    smtp_url: str = Field(
        default="",
        repr=False,
        description="`smtp://user:password@host:port` (or `smtps://`) that e-mail goes out by; "
        "empty writes each one as a file into the data folder's `mail`",
    )
    smtp_connections: int = Field(
        default=4,
        ge=1,
        le=64,
        description="connections to that server at most, and so letters at once, beside one for letters that are tried "
        "again; some servers allow a client only a few",
    )
    mail_from: str = Field(
        default="Holdfast <reservations@localhost>", description="sender of the e-mail that guests get"
    )
    jwt_key: str = Field(
        default="",
        repr=False,
        pattern=r"^([0-9a-fA-F]{64,})?$",
        description="hex digits of the key that signs tokens, the same on every machine of a cluster; "
        "empty has one made in the data folder",
    )
    ray_address: str = Field(
        default="", description="`host:port` of a Ray cluster that you run yourself; empty starts one on this machine"
    )
    host: str = Field(
        default="127.0.0.1",
        description="address that the gateway and the express lane listen on; on a cluster each machine's own",
    )
    trust_forwarded: bool = Field(
        default=False,
        description="on a cluster: whether every machine's HAProxy is started by Holdfast's script, so that its "
        "`X-Forwarded-For` is the client's address; `cluster.yaml` sets it where it installs the script",
    )
    gateway_port: Port = Field(default=8000, description="HAProxy, the gateway of all services")
    express_port: Port = Field(
        default=8001, description="the booking service inside the first shard's process; further shards take free ports"
    )
    postgres_port: Port = Field(default=8032, description="the embedded Postgres, on loopback")
    valkey_port: Port = Field(default=8079, description="the embedded Valkey, on loopback")
    ray_gcs_port: Port = Field(default=8061, description="Ray's control service, on loopback")
    ray_dashboard_port: Port = Field(default=8065, description="Ray's dashboard, on loopback")
    haproxy_metrics_port: Port = Field(default=8066, description="HAProxy's Prometheus page, on loopback")
    internal_port_first: int = Field(
        default=8100,
        ge=1024,
        le=65535 - INTERNAL_PORTS,
        description=f"first of {INTERNAL_PORTS} ports for Ray's agents and Serve's replicas, on loopback",
    )
    ray_cpus: int = Field(
        default=16, ge=4, description="logical processors that Ray shares out; actors ask for small fractions of one"
    )
    ray_object_store_mib: int = Field(default=100, ge=80, description="shared memory of Ray's object store")
    replicas: int = Field(default=1, ge=1, le=16, description="Serve replicas of each service")
    shards: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="shard actors, each the only writer of its buckets; after raising it, `holdfast rebalance` spreads the buckets",
    )
    mailbox_commands_max: int = Field(
        default=20_000, ge=1, description="queued commands per shard before it answers `overloaded`"
    )
    batch_commands_max: int = Field(default=512, ge=1, le=4096, description="commands decided and committed together")
    holds_per_guest_max: int = Field(default=1000, ge=1, description="live holds of one guest before `rate_limited`")
    accounts_per_address_per_hour: int = Field(default=600, ge=1, description="new accounts from one address")
    login_failures_per_account: int = Field(default=10, ge=1, description="failed logins of one account per window")
    login_failures_per_address: int = Field(default=100, ge=1, description="failed logins of one address per window")
    login_window_seconds: int = Field(default=900, ge=1, description="length of the window that failed logins count in")
    token_ttl_seconds: int = Field(default=3600, ge=60, description="life of an access token")
    settle_after_hours: int = Field(
        default=48, ge=1, description="a CONFIRMED booking becomes AVAILED this long after its end"
    )
    archive_after_hours: int = Field(
        default=48,
        ge=48,
        description="an ended booking leaves the current tables for the archive this long after it last changed",
    )
    event_days: int = Field(default=7, ge=1, description="how long published events are kept in Postgres")
    consumers: str = Field(
        default="relay search_indexer archiver notifier payments",
        pattern=r"^ *((relay|search_indexer|archiver|notifier|payments) *)*$",
        description="which consumers run; the work of one that is left out waits until it runs again",
    )
    parked_max: int = Field(
        default=100, ge=1, description="parked messages of one consumer before it stops and waits for an operator"
    )
    production: bool = Field(
        default=False, description="whether real guests book here; it then does not start with the sandbox"
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+)?$",
        description="`https://...` that guests reach the gateway by, for the addresses of checkout pages; "
        "empty is `http://host:gateway_port`",
    )
    payment_provider: Literal["sandbox", "stripe"] = Field(
        default="sandbox", description="what takes deposits: `sandbox`, built in and without money, or `stripe`"
    )
    stripe_api_key: str = Field(
        default="",
        repr=False,
        pattern=r"^((sk|rk)_\w+)?$",
        description="`sk_...` or `rk_...`, the secret key of your account at Stripe, or a restricted one that may write "
        "Checkout Sessions and refunds, and read charges, intents and balance transactions",
    )
    stripe_webhook_secret: str = Field(
        default="",
        repr=False,
        pattern=r"^(whsec_\w+)?$",
        description="`whsec_...`, the secret of Stripe's webhook endpoint that sends to `/payment/webhook/stripe`",
    )
    stripe_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+)?$",
        description="where stripe-mock listens, for tests; empty is Stripe itself",
    )
    payment_sweep_seconds: float = Field(
        default=5.0,
        gt=0,
        description="how often the payment desk looks by itself for payments that nobody told it of, and asks the "
        "provider about those without an answer",
    )
    webhook_days: int = Field(default=30, ge=1, description="how long handled messages of providers are kept")
    sandbox_fee_basis_points: int = Field(
        default=0, ge=0, le=10_000, description="what the sandbox takes of each payment, in hundredths of a percent"
    )
    idempotency_hours: int = Field(default=48, ge=24, description="how long the first answer to a key is kept")
    take_over_wait_seconds: float = Field(
        default=8.0,
        gt=0,
        description="how long a write waits for a shard on the move, and a shard for a database that is away, before its caller is told so",
    )
    shard_heartbeat_seconds: float = Field(default=1.0, gt=0, description="how often the supervisor asks each shard")
    shard_silence_seconds: float = Field(
        default=3.0, gt=0, description="silence after which the supervisor takes a shard over; more than two heartbeats"
    )

    @model_validator(mode="after")
    def _ports_are_distinct(self) -> Self:
        counts = Counter([*self.named_ports().values(), *self.internal_ports()])
        twice = sorted(port for port, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"these ports are given to more than one thing: {', '.join(map(str, twice))}")
        return self

    @model_validator(mode="after")
    def _production_takes_real_money(self) -> Self:
        if self.production and self.payment_provider == "sandbox":
            raise ValueError(
                "the sandbox takes no money: with HOLDFAST_PRODUCTION, HOLDFAST_PAYMENT_PROVIDER has to be another"
            )
        return self

    @model_validator(mode="after")
    def _stripe_has_its_keys(self) -> Self:
        if self.payment_provider != "stripe":
            return self
        missing = [name for name in ("stripe_api_key", "stripe_webhook_secret") if not getattr(self, name)]
        if missing:
            raise ValueError(f"Stripe needs {' and '.join(f'HOLDFAST_{name.upper()}' for name in missing)}")
        if self.production and (self.stripe_url or "_test_" in self.stripe_api_key):
            raise ValueError(
                "with HOLDFAST_PRODUCTION, HOLDFAST_STRIPE_URL has to be empty and HOLDFAST_STRIPE_API_KEY not a test key: "
                "neither takes money"
            )
        return self

    @model_validator(mode="after")
    def _a_machine_of_a_cluster_has_an_address(self) -> Self:
        if self.ray_address and self.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            raise ValueError(
                f"with HOLDFAST_RAY_ADDRESS, HOLDFAST_HOST has to be this machine's own address: nobody finds {self.host}"
            )
        return self

    @property
    def gateway_is_ours(self) -> bool:
        """Whether the gateway in front of the services writes down each client's address, whatever the client says."""
        return not self.ray_address or self.trust_forwarded

    def named_ports(self) -> dict[str, int]:
        """The ports that this machine listens on with these settings, by the name of the setting."""
        names = ["gateway_port", "express_port", "ray_gcs_port", "ray_dashboard_port", "haproxy_metrics_port"]
        if not self.postgres_url:
            names.append("postgres_port")
        if not self.redis_url:
            names.append("valkey_port")
        return {name: getattr(self, name) for name in names}

    def internal_ports(self) -> range:
        return range(self.internal_port_first, self.internal_port_first + INTERNAL_PORTS)

    @property
    def run_id(self) -> str:
        """Names this installation on this machine: everything it starts carries it in its environment."""
        return hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:8]

    @property
    def secrets_dir(self) -> Path:
        return self.data_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    def as_environment(self) -> dict[str, str]:
        """The HOLDFAST_* variables from which another process reads the same settings."""
        return {f"HOLDFAST_{name.upper()}": str(value) for name, value in self.model_dump().items()}
