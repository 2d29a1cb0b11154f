from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.secrets import SecretsError, derived_key, installation_key, load_or_make


def test_secrets_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    first = load_or_make(tmp_path / "secrets")
    assert len(first.jwt_key) == 32
    assert load_or_make(tmp_path / "secrets") == first
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_two_installations_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = load_or_make(tmp_path / "a"), load_or_make(tmp_path / "b")
    assert one.jwt_key != other.jwt_key
    assert one.ray_token_file.read_bytes() != other.ray_token_file.read_bytes()


def test_many_at_once_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_make(tmp_path / "secrets").jwt_key, range(32)))
    assert len(set(found)) == 1
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == {"jwt_key", "ray_token"}


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    (tmp_path / "jwt_key").chmod(0o644)
    with pytest.raises(SecretsError, match="jwt_key can be read by others"):
        load_or_make(tmp_path)


def test_half_a_secret_is_refused(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    (tmp_path / "jwt_key").write_text("abc")
    with pytest.raises(SecretsError, match="damaged"):
        load_or_make(tmp_path)


def test_secrets_do_not_show_when_printed(tmp_path: Path) -> None:
    secrets = load_or_make(tmp_path)
    assert secrets.jwt_key.hex() not in repr(secrets)


def test_one_key_is_good_for_one_purpose(tmp_path: Path) -> None:
    key = installation_key("", tmp_path)
    assert key == load_or_make(tmp_path).jwt_key
    assert installation_key("ab" * 32, tmp_path) == b"\xab" * 32
    derived = derived_key(key, "webhooks")
    assert derived == derived_key(key, "webhooks")
    assert len({derived, key, derived_key(key, "other"), derived_key(b"\xab" * 32, "webhooks")}) == 4
    assert len(derived) == 32
