"""cluster.yaml is one that Ray's launcher takes, and its machines get what the gateway needs before Ray starts.

Two machines made ready by these very commands: `tests/system/test_cluster.py`.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from holdfast.ray_head import serve_environment

PATH = Path(__file__).parents[2] / "cluster.yaml"
COMMANDS = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def described() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text("utf-8"))
    return loaded


def test_the_launcher_takes_it(described: dict[str, Any]) -> None:
    prepared = prepare_config(described)
    validate_config(prepared)
    assert prepared["max_workers"] == len(described["provider"]["worker_ips"])


def test_the_launcher_would_refuse_a_word_it_does_not_know(described: dict[str, Any]) -> None:
    described["head_start_commands"] = []
    with pytest.raises(ValidationError):
        validate_config(prepare_config(described))


@pytest.mark.parametrize("commands", COMMANDS)
def test_every_machine_runs_the_gateway_and_asks_for_the_token(described: dict[str, Any], commands: str) -> None:
    start = described[commands][-1]
    steps = (". /etc/holdfast.env", "-m holdfast.cluster_machine) || exit 1", 'eval "$SERVE"', "ray start")
    places = [start.index(step) for step in steps]
    assert places == sorted(places)
    assert serve_environment()["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert "RAY_AUTH_MODE=token" in PATH.read_text("utf-8")


def test_no_secret_stands_in_it(described: dict[str, Any]) -> None:
    assert described["auth"]["ssh_user"].isupper()
    assert described["provider"]["head_ip"].isupper()
