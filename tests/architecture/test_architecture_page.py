"""Pages that name a test for each rule; a name that leads nowhere would be an empty promise."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
SEED = (ROOT / "docs/reference/seed.md").read_text("utf-8")


@pytest.mark.parametrize("page", [PAGE, SEED], ids=["ARCHITECTURE.md", "seed.md"])
def test_every_test_and_file_that_the_page_names_is_there(page: str) -> None:
    named = re.findall(r"`([a-z_]+/[-\w/.]+\.(?:py|sql))(?:::(\w+))?`", page)
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


def test_every_sentence_of_the_seed_has_a_file_and_a_test() -> None:
    rows = [
        line.split("|")[1:-1] for line in SEED.splitlines() if line.startswith(("| (", "| user", "| city", "| vendor"))
    ]
    assert len(rows) > 25
    assert [row for row in rows if not row[1].strip() or "tests/" not in row[2]] == []
