from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.settings import INTERNAL_PORTS, Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HOLDFAST_{name.upper()}", raising=False)


def test_the_defaults_are_valid_and_on_loopback() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert (settings.gateway_port, settings.express_port) == (8000, 8001)
    assert settings.data_dir.is_absolute()


def test_two_things_on_one_port_are_refused_by_its_number() -> None:
    with pytest.raises(ValidationError, match="8001"):
        Settings(gateway_port=8001)


def test_a_port_within_the_internal_run_is_refused() -> None:
    with pytest.raises(ValidationError, match="8239"):
        Settings(internal_port_first=8100, gateway_port=8100 + INTERNAL_PORTS - 1)


def test_ports_of_servers_that_are_not_ours_do_not_count() -> None:
    elsewhere = Settings(postgres_url="postgresql://db/holdfast", postgres_port=8000)
    assert "postgres_port" not in elsewhere.named_ports()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gateway_port", 80),
        ("gateway_port", 70_000),
        ("shards", 0),
        ("shards", 4097),
        ("idempotency_hours", 23),
        ("jwt_key", "short"),
        ("token_ttl_seconds", 0),
        ("internal_port_first", 65_500),
        ("consumers", "relay payment"),
        ("payment_provider", "paypal"),
        ("public_url", "book.example.org"),
        ("public_url", "https://book.example.org/"),
        ("payment_sweep_seconds", 0),
        ("sandbox_fee_basis_points", 10_001),
        ("webhook_days", 0),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = Settings(data_dir=tmp_path, gateway_port=9100, shards=3, take_over_wait_seconds=2.5)
    for name, value in first.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == first


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    shown = repr(Settings(postgres_url="postgresql://me:hush@db/x", jwt_key="ab" * 32))
    assert "hush" not in shown
    assert "abab" not in shown


def test_each_folder_is_an_installation_of_its_own(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path / "a").run_id != Settings(data_dir=tmp_path / "b").run_id
    assert Settings(data_dir=tmp_path / "a").run_id == Settings(data_dir=tmp_path / "b" / ".." / "a").run_id


def test_production_does_not_start_with_the_sandbox() -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_PAYMENT_PROVIDER has to be another"):
        Settings(production=True)
    assert not Settings().production
