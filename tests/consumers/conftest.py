"""The runtime in virtual time; everything else here talks to real servers, for which time must pass by itself."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.fakes.virtual_time import loop_factories


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: time jumps to the next timer instead of passing")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[asyncio.SelectorEventLoop]]:
    if item.get_closest_marker("virtual_time"):
        return loop_factories()
    return {"real-time": asyncio.SelectorEventLoop}
