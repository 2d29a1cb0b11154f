"""What people wrote, made fit for a letter: no control characters, and in headers nothing that reads as an encoded word."""

import re
from typing import Final

# Control characters but line feed and tab, and the signs that turn the direction of what follows.
_UNWANTED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NO_NAMES: Final = re.compile(r"[()<>@,;:\\\"\[\]]")
_NAME_CHARACTERS_MAX: Final = 60


def printable(text: str) -> str:
    """Whatever is no sign becomes a space; line feeds stay."""
    return _UNWANTED.sub(" ", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def header(text: str) -> str:
    """For a header: one line in which "=?", by which an encoded word begins (RFC 2047), is taken apart."""
    return one_line(text).replace("=?", "= ?")


def display_name(text: str) -> str:
    """For the name beside an address: without what an address is made of, and short enough to stand on one line.

    The library folds a long quoted name in the midst of the quotes, and the address is then lost.
    """
    return header(_NO_NAMES.sub(" ", header(text)))[:_NAME_CHARACTERS_MAX].strip()
