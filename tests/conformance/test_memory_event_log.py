"""The log in memory, which the runtime is tested on, passes the suite of the real ones, but for what needs a server."""

import pytest

from tests.conformance import test_event_log
from tests.conformance.event_logs import TOPICS
from tests.fakes.memory_event_log import MemoryEventLog

_NEED_A_SERVER = {
    "test_what_a_killed_member_had_goes_to_the_others",
    "test_a_log_that_is_away_at_the_start_is_used_once_it_comes",
}
_SUITE = [
    test for name, test in vars(test_event_log).items() if name.startswith("test_") and name not in _NEED_A_SERVER
]


class MemoryLog:
    def __init__(self):
        self.log = MemoryEventLog()

    def writer(self):
        return self.log

    def reader(self, group="readers", topics=TOPICS):
        return self.log.reader(group, topics)


@pytest.mark.parametrize("test", _SUITE, ids=[test.__name__ for test in _SUITE])
async def test_it_does_as_the_real_ones(test):
    await test(MemoryLog())
