"""What goes round: a store that fails is noted, and the next round comes; a mistake of ours is not swallowed."""

import pytest

from consumers.rounds import Rounds
from storage.errors import StoreUnavailable
from storage.payment_provider import ProviderRefused
from storage.payment_store import ReferenceTaken


class Failing(Rounds):
    """Fails in each round but the last, after which it ends."""

    def __init__(self, *errors) -> None:
        super().__init__("failing", 0.0)
        self.errors = list(errors)
        self.told = []

    async def _round(self):
        self.told.append(self.state.state)
        if not self.errors:
            self.stop()
            return
        if (error := self.errors.pop(0)) is not None:
            raise error


@pytest.mark.parametrize("kind", [StoreUnavailable, ProviderRefused, ReferenceTaken])
async def test_what_a_store_says_is_noted_and_tried_again(kind, caplog):
    rounds = Failing(kind("not now"), kind("not now"))
    await rounds.run()
    assert rounds.told == ["starting", "paused: not now", "paused: not now"]
    assert rounds.state.last_error == f"{kind.__name__}: not now"
    assert len(caplog.records) == 1
    assert "not now" in caplog.text


async def test_the_log_has_it_once_more_where_it_went_well_in_between(caplog):
    away = StoreUnavailable("away")
    await Failing(away, away, None, away).run()
    assert len(caplog.records) == 2


async def test_a_mistake_of_ours_ends_the_process():
    with pytest.raises(KeyError):
        await Failing(KeyError("x")).run()
