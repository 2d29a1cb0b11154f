"""Every setting is documented, and the page says what the code does."""

from pathlib import Path

from holdfast.settings import Settings
from holdfast.settings_page import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_page_is_the_one_that_make_docs_writes() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_only_settings_reads_the_environment() -> None:
    """Besides it, only what passes the environment on to a child process, and what Serve starts in HAProxy's stead."""
    root = Path(__file__).parents[2]
    readers = {
        path.relative_to(root).as_posix()
        for folder in ("actors", "consumers", "domain", "holdfast", "serve_app", "storage")
        for path in (root / folder).rglob("*.py")
        if "os.environ" in path.read_text("utf-8") or "getenv" in path.read_text("utf-8")
    }
    assert readers == {
        "holdfast/ray_head.py",
        "holdfast/stack/go.py",
        "holdfast/stack/java.py",
        "holdfast/stack/postgres.py",
    }
