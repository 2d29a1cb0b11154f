"""A consumer process: consumers side by side, who reports of them, and what one's failure does to the others."""

import asyncio

import pytest

from consumers.consumer import ConsumerState
from consumers.process import ConsumerProcess
from storage.errors import StoreUnavailable

pytestmark = pytest.mark.virtual_time


class Worker:
    def __init__(self, name, ends_after=float("inf"), error=None):
        self.state = ConsumerState(name, "starting")
        self.ends_after = ends_after
        self.error = error
        self.stopping = asyncio.Event()

    async def run(self):
        self.state = ConsumerState(self.state.name, "reading")
        try:
            async with asyncio.timeout(self.ends_after):
                await self.stopping.wait()
                await asyncio.sleep(3)  # what it has in hand
        except TimeoutError:
            if self.error is not None:
                raise self.error from None
        finally:
            self.state = ConsumerState(self.state.name, "left")

    def stop(self):
        self.stopping.set()


class Reports:
    def __init__(self):
        self.said = []
        self.away = False
        self.closed = False

    async def report(self, state):
        if self.away:
            raise StoreUnavailable("database: away")
        self.said.append((state.name, state.state))

    async def close(self):
        self.closed = True


@pytest.fixture
def reports():
    return Reports()


async def test_all_of_them_run_are_reported_and_finish_what_they_have_in_hand(reports):
    process = ConsumerProcess([Worker("archiver"), Worker("departure")], reports.report, reports.close)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(5)
    assert set(reports.said[-2:]) == {("archiver", "reading"), ("departure", "reading")}
    process.stop()
    await asyncio.sleep(2)
    assert not running.done()
    await running
    assert reports.said[-2:] == [("archiver", "left"), ("departure", "left")]
    assert [state.state for state in process.state] == ["left", "left"]
    await process.close()
    assert reports.closed


async def test_the_failure_of_one_ends_the_process(reports):
    process = ConsumerProcess(
        [Worker("archiver"), Worker("departure", 10, ZeroDivisionError())], reports.report, reports.close
    )
    with pytest.raises(ExceptionGroup) as raised:
        await process.run()
    assert raised.group_contains(ZeroDivisionError)
    assert reports.said[-2:] == [("archiver", "left"), ("departure", "left")]


async def test_reports_are_made_again_when_the_database_is_back(reports):
    reports.away = True
    process = ConsumerProcess([Worker("archiver")], reports.report, reports.close)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(600)
    assert reports.said == []
    reports.away = False
    await asyncio.sleep(5)
    assert reports.said[-1] == ("archiver", "reading")
    process.stop()
    await running


async def test_what_a_report_raises_does_not_end_the_consumers(reports):
    """Nobody sees how it fares, but it does its work."""

    async def broken(state):
        raise ZeroDivisionError

    worker = Worker("archiver")
    process = ConsumerProcess([worker], broken, reports.close)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(60)
    assert worker.state.state == "reading"
    process.stop()
    await running
