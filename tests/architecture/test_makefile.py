"""`make help` lists everything that one can make, and CI runs what the README calls."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _targets() -> set[str]:
    """What the Makefile lets people make: the targets that are no files."""
    declared = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    return {target for line in declared for target in line.split()}


def test_help_lists_every_target_with_a_word_on_it() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, text=True, capture_output=True, check=True)
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, flags=re.MULTILINE))
    assert set(listed) == _targets()
    assert {"help", "up", "down", "demo", "test", "check", "bench"} <= set(listed)


def test_help_is_what_make_says_by_itself() -> None:
    runs = [subprocess.run(["make", *words], cwd=ROOT, capture_output=True, check=True) for words in ([], ["help"])]
    assert runs[0].stdout == runs[1].stdout


def test_ci_can_be_run_and_ends_with_the_checks() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    calls = re.findall(r"^make --no-print-directory (.+)$", script.read_text("utf-8"), flags=re.MULTILINE)
    on_the_stack = [f"{call} STACK=full" for call in ("up", "demo", "verify", "down")]
    assert calls == ["setup", "stack", "up", "demo", "down", *on_the_stack, "check"]
    assert {call.split()[0] for call in calls} <= _targets()
