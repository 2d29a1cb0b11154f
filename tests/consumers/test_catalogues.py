"""Every sentence that guests read is in every catalogue, with the same gaps to fill."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po

import consumers.mail
from consumers.mail.catalogue import languages

FOLDER = Path(consumers.mail.__file__ or "").parent
OPTIONS = {"trimmed": "false", "newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}


def said() -> set[str | tuple[str, str]]:
    found: set[str | tuple[str, str]] = set()
    for template in FOLDER.glob("templates/*.j2"):
        with template.open("rb") as file:
            for _, message, _, _ in extract("jinja2.ext:babel_extract", file, options=OPTIONS):
                assert isinstance(message, str | tuple)
                found.add(message if isinstance(message, str) else (str(message[0]), str(message[1])))
    return found


def catalogue(language: str) -> Catalog:
    with (FOLDER / "catalogues" / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def test_english_and_german_are_there() -> None:
    assert {"en", "de"} <= set(languages())
    assert len(said()) > 15


@pytest.mark.parametrize("language", [name for name in languages() if name != "en"])
def test_a_catalogue_says_everything_and_nothing_else(language: str) -> None:
    entries = {entry.id: entry for entry in catalogue(language) if entry.id}
    assert set(entries) == said()
    for entry in entries.values():
        wanted = re.findall(r"%\(\w+\)s", entry.id if isinstance(entry.id, str) else entry.id[0])
        for string in [entry.string] if isinstance(entry.string, str) else entry.string:
            assert sorted(re.findall(r"%\(\w+\)s", string)) == sorted(wanted), string
