"""Whoever may change a vendor may write any words, as often as they like: searches stay small, and others are found."""

import random
import string
from dataclasses import replace
from itertools import combinations, islice

import asyncpg
import pytest

from domain.search import CandidateQuery, SearchOrder, SortPosition
from storage.postgres import Database
from storage.postgres_search_index import SETTINGS, PostgresSearchIndex
from storage.search_text import ALTERNATIVES_MAX
from tests.conformance.search_oracle import tavern
from tests.conformance.test_search_index import found

PUTS, WORDS = 30, 180
BROUGHT_MAX = 2000
SEARCHED = "restaurant"


class Noting(Database):
    """Remembers what it was asked and what it answered."""

    def __init__(self, url):
        super().__init__(url, "test", 2, settings=SETTINGS)
        self.asked, self.answered = {}, {}

    async def rows(self, name, *parameters):
        self.asked[name] = parameters
        self.answered[name] = await super().rows(name, *parameters)
        return self.answered[name]


def near_misses():
    """Words two letters off the searched one."""
    chance = random.Random(5)
    places = list(combinations(range(len(SEARCHED)), 2))
    while True:
        word = list(SEARCHED)
        for at in chance.choice(places):
            word[at] = chance.choice(string.ascii_lowercase.replace(word[at], ""))
        yield "".join(word)


def flood():
    """One vendor, its description full of other words each time, and harmless in the end."""
    misses = near_misses()
    for version in range(1, PUTS + 1):
        yield replace(tavern(1), version=version, description=" ".join(next(misses) for _ in range(WORDS)))
    yield replace(tavern(1), version=PUTS + 1, description="harmless")


async def vocabulary(url):
    connection = await asyncpg.connect(url)
    try:
        return [row["word"] for row in await connection.fetch("SELECT word FROM search_word")]
    finally:
        await connection.close()


async def flooded(database):
    noting = Noting(database)
    index = PostgresSearchIndex(noting)
    for vendor in flood():
        await index.put([vendor])
    return index, noting


async def test_a_flood_of_words_leaves_a_small_vocabulary_and_a_rebuild_none_of_it(database):
    index, _ = await flooded(database)
    assert WORDS < len(await vocabulary(database)) <= BROUGHT_MAX
    await index.put([tavern(2, description="A quiet orchard")])
    assert await found(index, text="orchad") == [2]

    async def vendors():
        yield [replace(tavern(1), version=PUTS + 1, description="harmless"), tavern(2, description="A quiet orchard")]

    await index.rebuild(vendors())
    words = set(await vocabulary(database))
    assert {"harmless", "orchard", "restaurant"} <= words
    assert len(words) < 20
    await index.close()


async def test_a_search_after_a_flood_is_small_and_answers(database):
    index, noting = await flooded(database)
    await index.put([tavern(2, name="Restaurant Sol")])
    asked = " ".join([SEARCHED, *islice(near_misses(), 9)])
    assert await found(index, text=SEARCHED) == [2, 1]
    for text in (SEARCHED, asked, "resturant"):
        await found(index, text=text)
        terms = noting.asked["search_by_relevance"]
        words = len(dict.fromkeys(text.split()))
        texts = 3
        assert len(noting.answered["search_words_like"]) <= 2 * ALTERNATIVES_MAX * texts * words
        assert terms[1].count("'") / 2 <= words * (1 + texts * (ALTERNATIVES_MAX + 1))
        assert all(clause.count("'") / 2 <= ALTERNATIVES_MAX + 2 for clause in terms[-2])
    await index.close()


async def test_a_mistyped_word_is_taken_for_the_nearest_words_alone(index):
    """As many as there may be, of those as near the first of the alphabet, in each text by itself."""
    letters = string.ascii_lowercase[:9]
    two_off = sorted(f"gold{one}nlio{other}" for one in letters for other in letters if one != "e")
    assert len(two_off) > ALTERNATIVES_MAX
    await index.put([tavern(number, description=word) for number, word in enumerate(two_off, start=1)])
    await index.put([tavern(1000, description="goldenlien"), tavern(1001, name="Goldyxlion")])
    numbers = sorted(await found(index, text="goldenlion"))
    assert numbers == [*range(1, ALTERNATIVES_MAX), 1000, 1001]


@pytest.mark.parametrize("order", SearchOrder)
@pytest.mark.parametrize("key", [2.0**53, -(2.0**53), 0.5])
async def test_a_page_may_begin_at_any_key_that_a_cursor_lets_through(index, order, key):
    await index.put([tavern(1)])
    for query in (
        CandidateQuery(order=order, near=tavern(1).location),
        CandidateQuery(order=order, near=tavern(1).location, text="house"),
        CandidateQuery(order=order, near=tavern(1).location, seat_type="table"),
    ):
        after = SortPosition(key, tavern(1).vendor_id)
        assert len(await index.candidates(query, after=after, limit=10)) <= 1
