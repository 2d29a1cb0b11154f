"""A pytest plugin: after a run with --cov, each gated folder must have enough of its branches covered, or the run fails.

Loaded by `make check` (`-p tests.coverage_gates`). pytest-cov's own gate counts lines and branches of everything together.
"""

from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

BRANCHES_PERCENT_MIN = 95.0
FOLDERS = ("domain", "actors")
# Ray's own files are proved by tests/system, in processes where nothing is measured.
THIN = (
    "actors/consumer_actor.py",
    "actors/ray_client.py",
    "actors/shard_actor.py",
    "actors/supervisor_actor.py",
)

_lines: list[str] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    result = yield
    # pytest-cov has put the data together by now: its wrapper is inside this one.
    if session.config.getoption("cov_source", None) is not None and not session.config.option.collectonly:
        _lines.extend(_below(_branches(Path(session.config.rootpath))))
        session.testsfailed += sum(line.startswith("FAIL") for line in _lines)
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _lines:
        terminalreporter.write_line(line, red=line.startswith("FAIL"))


def _branches(root: Path) -> dict[str, tuple[int, int, list[str]]]:
    """For each folder: branches, those taken, and its files that miss any, worst first."""
    coverage = Coverage(config_file=str(root / "pyproject.toml"))
    coverage.load()
    found = {}
    for folder in FOLDERS:
        total, missed, files = 0, 0, []
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not any(fnmatch(name, thin) for thin in THIN):
                numbers = coverage._analyze(str(path)).numbers
                total += numbers.n_branches
                missed += numbers.n_missing_branches
                files += [(numbers.n_missing_branches, name)] if numbers.n_missing_branches else []
        found[folder] = (total, total - missed, [f"{name} ({count})" for count, name in sorted(files, reverse=True)])
    return found


def _below(found: dict[str, tuple[int, int, list[str]]]) -> list[str]:
    lines = []
    for folder, (total, taken, files) in found.items():
        percent = 100.0 * taken / total if total else 100.0
        verdict = "ok" if percent >= BRANCHES_PERCENT_MIN else "FAIL"
        lines.append(f"{verdict} {folder}/: {taken} of {total} branches covered, {percent:.1f} %")
        if verdict == "FAIL":
            lines.append(f"     at least {BRANCHES_PERCENT_MIN:.0f} % are asked for; missing in {', '.join(files)}")
    return lines
