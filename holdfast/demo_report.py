"""What happened in the demo, as tables."""

from collections import Counter

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from holdfast.demo_api import Tally


def print_evening(console: Console, tally: Tally, statuses: Counter[str]) -> None:
    """What was asked and answered, then what the guests' lists say in the end."""
    answers = Table("request", "answer", "times", box=SIMPLE, pad_edge=False)
    last = ""
    for (action, label), count in sorted(tally.counts.items()):
        answers.add_row("" if action == last else action, label, f"{count:,}")
        last = action
    if tally.repeats:
        answers.add_row("sent again", "503 or no answer", f"{tally.repeats:,}")
    console.print(answers)
    ends = Table("bookings in the end", "", box=SIMPLE, pad_edge=False)
    for status, count in statuses.most_common():
        ends.add_row(status, f"{count:,}")
    console.print(ends)
