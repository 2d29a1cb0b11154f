"""Which folder may know which: import-linter's contracts hold, and nothing slips past them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("actors", "consumers", "domain", "holdfast", "serve_app", "storage")


def test_the_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_packages_are_opened_by_empty_files() -> None:
    """An import in an `__init__.py` would slip past the contracts."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.py")]
    assert len(found) >= len(FOLDERS)
    assert [path for path in found if path.read_text("utf-8")] == []


def test_no_module_has_grown_past_one_idea() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
