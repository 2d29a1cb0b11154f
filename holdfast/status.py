"""`holdfast status`: what should run, whether it does, and whether it answers."""

from dataclasses import dataclass

from holdfast import health
from holdfast.keeper import embedded_servers, read_keeper_file
from holdfast.ports import is_taken
from holdfast.settings import Settings


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    state: str
    where: str
    well: bool


def look(settings: Settings) -> list[Line]:
    """One line for each part, from the ground up."""
    return [*_servers(settings), *_ray(settings), *_services(settings)]


def _servers(settings: Settings) -> list[Line]:
    keeper = read_keeper_file(settings.data_dir)
    wanted = [name for name, _ in embedded_servers(settings)]
    lines = []
    if wanted:
        state = f"process {keeper.keeper.pid}" if keeper else "does not run"
        lines.append(Line("keeper", state, str(settings.logs_dir / "keeper.log"), keeper is not None))
    ports = {"postgres": settings.postgres_port, "valkey": settings.valkey_port}
    for name in wanted:
        pid = keeper.servers.get(name) if keeper else None
        state = f"process {pid}" if pid else "does not run"
        lines.append(Line(name, state, f"127.0.0.1:{ports[name]}", pid is not None))
    return lines


def _ray(settings: Settings) -> list[Line]:
    if settings.ray_address:
        return []
    ports = {"Ray": settings.ray_gcs_port, "Ray dashboard": settings.ray_dashboard_port}
    lines = []
    for name, port in ports.items():
        listens = is_taken("127.0.0.1", port)
        lines.append(Line(name, "listens" if listens else "does not run", f"http://127.0.0.1:{port}", listens))
    return lines


def _services(settings: Settings) -> list[Line]:
    urls = health.checks(settings)
    return [
        Line(name, answer, urls[name].removesuffix("/healthz"), answer == "ok")
        for name, answer in health.ask(urls).items()
    ]
