"""The languages that guests are written to in: English in the templates, the others in catalogues/<language>.po.

Another language is one more .po file (see docs/how-to/translate-mail.md); nothing else has to be changed.
"""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE: Final = "en"
_FOLDER: Final = Path(__file__).parent / "catalogues"


def languages() -> list[str]:
    """Those that there are, English first."""
    return [SOURCE, *sorted(path.stem for path in _FOLDER.glob("*.po"))]


@cache
def language(name: str) -> NullTranslations:
    """One of `languages()`. What a catalogue lacks stays English."""
    if name == SOURCE:
        return NullTranslations()
    with (_FOLDER / f"{name}.po").open("rb") as file:
        catalogue = read_po(file, locale=name)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def locale_of(tag: str | None) -> Locale:
    """The guest's own locale where there are words for its language, else English; `tag` is BCP 47 (`de-AT`)."""
    if tag:
        try:
            found = Locale.parse(tag.replace("_", "-"), sep="-")
        except (ValueError, UnknownLocaleError):
            return Locale(SOURCE)
        if found.language in languages():
            return found
    return Locale(SOURCE)
