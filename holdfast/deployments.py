"""One Serve application per service, all deployed together behind the one gateway.

A deployment is the service's own ASGI application and nothing around it: a request goes from HAProxy straight to the
uvicorn of a replica, in whose loop the application's pools live.
"""

from collections.abc import Callable
from typing import Any, Final

from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.schema import LoggingConfig

from holdfast import logs, loopback
from holdfast.replica import ReplicaApp
from holdfast.settings import Settings
from holdfast.wiring import PREFIXES

REPLICA_CPUS: Final = 0.05
ONGOING_REQUESTS_MAX: Final = 1000

# A line of log for each request would cost more than many a request does.
_LOGGING: Final = LoggingConfig(log_level="WARNING", enable_access_log=False)


def _application(service: str, replicas: int) -> serve.Application:
    def make() -> ReplicaApp:
        logs.to_stderr()
        loopback.keep_replicas_on_loopback()
        return ReplicaApp(service)

    wrapped = serve.ingress(make)(type(f"{service.title()}Service", (), {}))
    deployment = serve.deployment(
        wrapped,
        name=service,
        num_replicas=replicas,
        max_ongoing_requests=ONGOING_REQUESTS_MAX,
        ray_actor_options={"num_cpus": REPLICA_CPUS},
        graceful_shutdown_timeout_s=10,
        health_check_period_s=5,
        logging_config=_LOGGING,
    )
    return deployment.bind()


def deploy(settings: Settings) -> None:
    """Start Serve, or bring what runs to these settings, and return once every application runs."""
    on_this_machine = not settings.ray_address
    serve.start(
        http_options={
            # Serve has one setting for replicas and gateways of all machines together. On a cluster each gateway must
            # reach replicas on other machines; its own address is put in by `gateway_config`.
            "host": "127.0.0.1" if on_this_machine else "0.0.0.0",  # noqa: S104
            "port": settings.gateway_port,
        },
        proxy_location=ProxyLocation.HeadOnly if on_this_machine else ProxyLocation.EveryNode,
        logging_config=_LOGGING,
    )
    targets = [
        serve.RunTarget(_application(service, settings.replicas), name=service, route_prefix=prefix)
        for service, prefix in PREFIXES.items()
    ]
    serve.run_many(targets, wait_for_applications_running=True)


Progress = Callable[[str], Any]
