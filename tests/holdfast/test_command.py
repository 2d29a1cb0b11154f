"""What the command says where nothing runs. What it does with a product that is up, tests/system shows."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner, Result

from holdfast.cli import app
from holdfast.secrets import load_or_make
from holdfast.settings import Settings
from tests.system.running import free_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    made = free_settings(tmp_path / "data")
    for name, value in made.as_environment().items():
        monkeypatch.setenv(name, value)
    return made


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("command", ["up", "down", "status", "demo", "verify", "shards", "rebalance", "token"])
def test_every_command_says_what_it_does(command: str) -> None:
    result = _run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    import subprocess

    script = "import sys, holdfast.cli; print('ray' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("words", [("up",), ("payments", "stuck")])
def test_production_with_the_sandbox_does_not_begin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HOLDFAST_PRODUCTION", "true")
    result = _run(*words)
    assert result.exit_code == 1
    assert "the sandbox takes no money" in result.output
    assert "HOLDFAST_PAYMENT_PROVIDER" in result.output
    assert not settings.data_dir.exists()


def test_down_where_nothing_runs_is_no_fault(settings: Settings) -> None:
    result = _run("down")
    assert result.exit_code == 0
    assert "down already" in result.output


def test_status_where_nothing_runs_says_so_and_fails(settings: Settings) -> None:
    result = _run("status")
    assert result.exit_code == 1
    assert result.output.count("does not run") == 5
    assert "ConnectError" in result.output


@pytest.mark.parametrize("command", ["shards", "verify", "demo"])
def test_what_needs_the_product_says_that_it_is_not_up(settings: Settings, command: str) -> None:
    result = _run(command)
    assert result.exit_code == 1
    assert "is Holdfast up?" in result.output


def test_an_operators_token_is_signed_with_the_installations_own_key(settings: Settings) -> None:
    result = _run("token", "--operator", "--minutes", "5")
    key = load_or_make(settings.secrets_dir).jwt_key
    claims = jwt.decode(result.output.strip(), key, algorithms=["HS256"], audience="holdfast-api", issuer="holdfast")
    assert claims["role"] == "operator"
    assert 0 < claims["exp"] - datetime.now(UTC).timestamp() <= 300


def test_a_token_is_for_operators_only(settings: Settings) -> None:
    result = _run("token")
    assert result.exit_code == 1
    assert "--operator" in result.output


def test_a_setting_that_cannot_be_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SHARDS", "none")
    result = _run("up")
    assert result.exit_code == 1
    assert "shards" in result.output
    assert "Traceback" not in result.output


def test_only_one_command_works_on_a_folder_at_a_time(settings: Settings) -> None:
    import fcntl

    settings.data_dir.mkdir(parents=True)
    with (settings.data_dir / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = _run("down")
    assert result.exit_code == 1
    assert "at work on this folder" in result.output
