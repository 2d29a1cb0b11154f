"""A member of a group in a process of its own: writes the number of each message that it gets, and commits none."""

import asyncio
import sys

from storage.event_log_url import event_reader
from tests.conformance.event_logs import TOPICS, numbers


async def main(event_log_url: str, postgres_url: str, group: str) -> None:
    reader = event_reader(event_log_url, postgres_url, group, TOPICS)
    while True:
        for number in numbers(await reader.poll(100, 1.0)):
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
