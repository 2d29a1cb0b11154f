"""ARCHITECTURE.md names a test for each rule; a name that leads nowhere would be an empty promise."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_every_test_and_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`([a-z_]+/[\w/.]+\.(?:py|sql))(?:::(\w+))?`", PAGE)
    missing = [
        f"{path}::{test}" if test else path
        for path, test in named
        if not (ROOT / path).is_file() or (test and f"def {test}(" not in (ROOT / path).read_text("utf-8"))
    ]
    assert len(named) > 30
    assert missing == []


def test_every_invariant_names_what_proves_it() -> None:
    rules = PAGE.split("**Invariant: ")[1:]
    assert len(rules) >= 10
    assert [rule.splitlines()[0] for rule in rules if "tests/" not in rule] == []
