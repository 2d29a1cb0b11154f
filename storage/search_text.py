"""How a search's text is compared with a vendor's: cut into words, typing errors forgiven, points for each kind of match.

Every adapter follows these rules to the letter, so that all name the same vendors in the same order. Nothing depends on
what else is indexed: a vendor's points change only when the vendor does, and a cursor stays where it was.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final, TypeAlias

from domain.search import folded

WORD_CHARACTERS_MAX: Final = 64
QUERY_WORDS_MAX: Final = 10
"""Further words of a search are not looked at."""

ALTERNATIVES_MAX: Final = 50
"""The most words of a text that a mistyped word is taken for, the nearest first. Elasticsearch has the same bound."""

PHRASE_POINTS: Final = 16
"""For each word of a search that stands whole and in its order in the name: more than anything else can add up to."""

_WORD: Final = re.compile(r"[^\W_]+")
_ENGLISH: Final = frozenset({"a", "an", "and", "at", "by", "for", "in", "near", "of", "on", "or", "the", "to", "with"})
_GERMAN: Final = frozenset(
    {"am", "auf", "bei", "das", "der", "die", "fur", "im", "in", "mit", "oder", "und", "zum", "zur"}
)
_FILLERS: Final = _ENGLISH | _GERMAN
_SHORTENED_CHARACTERS: Final = 7


class Text(StrEnum):
    """The three texts of a vendor that are searched. `ABOUT` are cuisines, amenities, city and kind."""

    NAME = "name"
    ABOUT = "about"
    DESCRIPTION = "description"


class Match(StrEnum):
    """A vendor's word is alike to a searched one when it BEGINS with it, or is it but for a few typing errors."""

    BEGINS = "begins"
    MISTYPED = "mistyped"


Clause: TypeAlias = tuple[Text, tuple[Match, ...], int]

CLAUSES: Final[tuple[Clause, ...]] = (
    (Text.NAME, (Match.BEGINS,), 8),
    (Text.NAME, (Match.MISTYPED,), 4),
    (Text.ABOUT, (Match.BEGINS, Match.MISTYPED), 2),
    (Text.DESCRIPTION, (Match.BEGINS, Match.MISTYPED), 1),
)
"""What a searched word earns, added up: where it is found, alike in which way (any of them), points."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search's text. Each of `required` must be found somewhere; `phrase` in the name is worth PHRASE_POINTS a word."""

    required: tuple[str, ...]
    phrase: tuple[str, ...]

    @property
    def phrase_points(self) -> int:
        return PHRASE_POINTS * len(self.phrase)


def wanted(text: str) -> Wanted:
    """Little words such as "in" and "the" need not be found, unless there is nothing else. No words find no vendor."""
    phrase = tuple(words(text)[:QUERY_WORDS_MAX])
    telling = [word for word in phrase if word not in _FILLERS]
    return Wanted(tuple(dict.fromkeys(telling or phrase)), phrase)


def words(text: str) -> list[str]:
    """Letters and digits that stand together, without case and accents, in their order."""
    return [found[:WORD_CHARACTERS_MAX] for found in _WORD.findall(folded(text))]


def edits_forgiven(word: str) -> int:
    """Typing errors in a searched word: none in three letters, where everything is alike, two from eight on."""
    if len(word) < 4:
        return 0
    return 1 if len(word) < 8 else 2


def shortened(word: str, edits: int) -> set[str]:
    """The word's beginning with up to so many letters left out.

    Words within so many edits of each other have one of these in common. That holds for beginnings as well, since one
    that was shifted by an insertion is met by leaving a letter out at its end.
    """
    start = word[:_SHORTENED_CHARACTERS]
    return {
        "".join(kept)
        for left_out in range(min(edits, len(start)) + 1)
        for kept in combinations(start, len(start) - left_out)
    }


def edits_findable(word: str) -> int:
    """The most edits by which a search may be off from this word of a vendor and still find it."""
    return 0 if len(word) < 3 else 1 if len(word) < 6 else 2


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Those that the word may be mistyped for, at most ALTERNATIVES_MAX; of those as near the first of the alphabet.

    An edit weighs less in a longer word. That is how Elasticsearch chooses, and here it must be the same.
    """
    forgiven = edits_forgiven(word)
    measured = ((edits_between(word, other, forgiven), other) for other in known)
    near = sorted((edits / min(len(word), len(other)), other) for edits, other in measured if edits is not None)
    return [other for _, other in near[:ALTERNATIVES_MAX]]


def edits_between(one: str, other: str, most: int) -> int | None:
    """How many letters put in, left out, changed, or swapped with the next one, make one word the other; None above `most`.

    This is the "optimal string alignment" distance: what was swapped is not edited again.
    """
    if abs(len(one) - len(other)) > most:
        return None
    before: Sequence[int] = ()
    row: Sequence[int] = range(len(other) + 1)
    for at, letter in enumerate(one, start=1):
        latest = [at]
        for to, wished in enumerate(other, start=1):
            cost = min(row[to] + 1, latest[to - 1] + 1, row[to - 1] + (letter != wished))
            if at > 1 and to > 1 and letter == other[to - 2] and one[at - 2] == wished:
                cost = min(cost, before[to - 2] + 1)
            latest.append(cost)
        if min(latest) > most:
            return None
        before, row = row, latest
    return row[-1] if row[-1] <= most else None
