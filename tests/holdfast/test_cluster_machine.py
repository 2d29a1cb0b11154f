"""What a machine of a cluster finds in its environment, and when the gateway in front of a service is believed."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.cluster_machine import prepared, sockets_dir
from holdfast.ray_head import RayHeadError, root_of_code
from holdfast.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HOLDFAST_{name.upper()}", raising=False)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(data_dir=tmp_path / "it's data", ray_address="10.0.0.1:6379", host="10.0.0.2")
    yield made
    if sockets_dir(made).is_symlink():
        sockets_dir(made).unlink()
    shutil.rmtree(sockets_dir(made), ignore_errors=True)


def test_a_shell_takes_it_as_it_is_printed(settings: Settings) -> None:
    command = f'READY=$("{sys.executable}" -m holdfast.cluster_machine) || exit 1; eval "$READY"; env'
    done = subprocess.run(
        ["bash", "-c", command],
        env=settings.as_environment() | {"PATH": os.environ["PATH"], "PYTHONPATH": str(root_of_code())},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith(("RAY_", "HOLDFAST_")))
    assert prepared(settings).items() <= found.items()
    assert found["RAY_SERVE_ENABLE_HA_PROXY"] == "1"


def test_its_haproxy_is_the_script_which_listens_on_the_machines_own_address(settings: Settings) -> None:
    environment = prepared(settings)
    script = Path(environment["RAY_SERVE_HAPROXY_BINARY_PATH"])
    config = settings.data_dir / "haproxy.cfg"
    config.write_text("frontend http_frontend\n    bind *:8000\n")
    done = subprocess.run([script, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert "bind 10.0.0.2:8000\n    http-request set-header x-forwarded-for %[src]\n" in config.read_text(), done.stderr


def test_it_is_believed_where_the_script_is_installed_and_nowhere_else_on_a_cluster(settings: Settings) -> None:
    assert not settings.gateway_is_ours
    assert prepared(settings)["HOLDFAST_TRUST_FORWARDED"] == "true"
    assert settings.model_copy(update={"trust_forwarded": True}).gateway_is_ours
    assert Settings().gateway_is_ours


def test_nobody_else_enters_the_folder_of_the_admin_socket(settings: Settings) -> None:
    folder = Path(prepared(settings)["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(RayHeadError, match="only this user"):
        prepared(settings)


def test_a_machine_of_no_cluster_is_told_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.cluster_machine"],
        env=Settings(data_dir=tmp_path).as_environment() | {"PYTHONPATH": str(root_of_code())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "HOLDFAST_RAY_ADDRESS" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_of_every_machine_is_no_address_of_one(host: str) -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_HOST"):
        Settings(ray_address="10.0.0.1:6379", host=host)
    assert Settings(host=host).host == host


def test_haproxy_reads_the_answers_in_a_folder_of_any_name(settings: Settings) -> None:
    environment = prepared(settings)
    config = settings.data_dir / "haproxy.cfg"
    config.write_text(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n"
        "frontend http_frontend\n    bind *:8000\n    default_backend default_backend\n"
        "backend default_backend\n    http-request return status 404 content-type text/plain string no\n"
    )
    words = [environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", config]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "errorfile 503" in config.read_text()
    assert "404.json" in config.read_text()
