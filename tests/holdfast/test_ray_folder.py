"""The folder under /tmp that Ray's short socket paths need goes when Ray has ended; its last logs stay with the data."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.installation import Installation
from holdfast.ray_head import clear, kept_logs, ray_dir
from holdfast.settings import Settings
from tests.system.running import free_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = free_settings(tmp_path / "data")
    yield made
    folder = ray_dir(made)
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _session(settings: Settings, name: str, age_seconds: int) -> None:
    ray_dir(settings).mkdir(mode=0o700, exist_ok=True)
    session = ray_dir(settings) / "r" / f"session_{name}"
    (session / "logs" / "old").mkdir(parents=True)
    session.parent.chmod(0o777)
    (session / "logs" / "raylet.out").write_text(name)
    written = session.stat().st_mtime - age_seconds
    os.utime(session, (written, written))
    latest = session.parent / "session_latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(session)


def test_down_where_nothing_runs_removes_what_an_earlier_run_left(settings: Settings) -> None:
    _session(settings, "2026-11-22_10-00-00_1_1", age_seconds=60)
    _session(settings, "2026-11-23_10-00-00_1_1", age_seconds=0)
    assert not Installation(settings).down()
    assert not ray_dir(settings).exists()
    (kept,) = kept_logs(settings).iterdir()
    assert kept.name == "session_2026-11-23_10-00-00_1_1"
    assert (kept / "raylet.out").exists()
    assert stat.S_IMODE(kept_logs(settings).stat().st_mode) == 0o700


def test_the_logs_of_one_run_are_kept(settings: Settings) -> None:
    for name in ("2026-11-22_10-00-00_1_1", "2026-11-23_10-00-00_1_1"):
        _session(settings, name, age_seconds=0)
        clear(settings)
    assert [path.name for path in kept_logs(settings).iterdir()] == ["session_2026-11-23_10-00-00_1_1"]


def test_where_there_is_no_folder_the_last_logs_stay(settings: Settings) -> None:
    _session(settings, "2026-11-23_10-00-00_1_1", age_seconds=0)
    clear(settings)
    clear(settings)
    assert len(list(kept_logs(settings).iterdir())) == 1


def test_a_folder_that_is_not_ours_alone_is_left(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "elsewhere" / "precious").touch()
    ray_dir(settings).symlink_to(tmp_path / "elsewhere")
    assert not Installation(settings).down()
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_logs_that_cannot_be_kept_stay_where_they_are_and_down_is_down(settings: Settings) -> None:
    _session(settings, "2026-11-23_10-00-00_1_1", age_seconds=0)
    settings.data_dir.mkdir(parents=True)
    settings.logs_dir.touch()  # no folder can be made there
    told: list[str] = []
    assert not Installation(settings, told.append).down()
    assert (ray_dir(settings) / "r" / "session_latest" / "logs" / "raylet.out").exists()
    assert str(ray_dir(settings)) in told[0]
