import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.payment_provider import payment_provider, sandbox_courier
from holdfast.settings import Settings
from storage.payment_provider import BadSignature
from storage.postgres import Database
from storage.sandbox_provider import SandboxProvider

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BODY = b'{"event_id": "evt_1"}'


def sandbox(**given: object) -> SandboxProvider:
    made = payment_provider(Settings(**given), NOWHERE)
    assert isinstance(made, SandboxProvider)
    return made


def test_every_process_of_an_installation_believes_the_others(tmp_path: Path) -> None:
    one, other = sandbox(data_dir=tmp_path / "a"), sandbox(data_dir=tmp_path / "a")
    assert other.checked(one.signed(BODY, NOW), BODY, NOW) == "evt_1"


def test_another_installation_is_not_believed(tmp_path: Path) -> None:
    one, other = sandbox(data_dir=tmp_path / "a"), sandbox(data_dir=tmp_path / "b")
    with pytest.raises(BadSignature):
        other.checked(one.signed(BODY, NOW), BODY, NOW)


def test_machines_of_a_cluster_share_the_key_that_they_were_given(tmp_path: Path) -> None:
    one = sandbox(data_dir=tmp_path / "a", jwt_key="ab" * 32)
    other = sandbox(data_dir=tmp_path / "b", jwt_key="ab" * 32)
    assert other.checked(one.signed(BODY, NOW), BODY, NOW) == "evt_1"


async def test_the_courier_goes_by_the_gateway(tmp_path: Path) -> None:
    database = Database(NOWHERE, "test", 1)
    for given, url in (
        ({}, "http://127.0.0.1:8000/payment/webhook/sandbox"),
        ({"public_url": "https://house.example"}, "https://house.example/payment/webhook/sandbox"),
    ):
        settings = Settings(data_dir=tmp_path, **given)
        courier = sandbox_courier(settings, sandbox(data_dir=tmp_path), database, NOWHERE)
        assert courier._url == url


def test_stripes_library_is_loaded_by_those_who_use_it() -> None:
    code = (
        "import sys, holdfast.wiring, holdfast.consumers, holdfast.payment_provider; assert 'stripe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
