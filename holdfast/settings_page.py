"""Writes docs/reference/settings.md from the settings themselves, so that the page cannot tell anything else."""

import sys
from pathlib import Path
from typing import Any

from holdfast.settings import Settings

_HEAD = """# Settings

Everything that can be set, as environment variables. `holdfast` reads nothing else: no file, no flag. Whatever is not
set has the value given here; a value that cannot be is refused by name before anything starts. A change takes effect
with the next `holdfast down` and `holdfast up`. (This page is written by `make docs`.)

| variable | default | what it is |
|---|---|---|
"""


def page() -> str:
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: Any) -> str:
    default = f"`{field.default}`" if str(field.default) else "empty"
    return f"| `HOLDFAST_{name.upper()}` | {default} | {field.description or ''} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
