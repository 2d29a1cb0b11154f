"""Tables of the commands. In a narrow terminal ids and names stay whole: only what may be long gives way."""

from collections.abc import Collection

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text


def plain(*columns: str, yielding: Collection[str] = ()) -> Table:
    """A table with these headings. The cells of the `yielding` columns are folded where there is no room for them."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        # Rich takes room from the columns that may wrap, and from the others once those have none left.
        table.add_column(column, no_wrap=column not in yielding, overflow="fold")
    return table


def one_line(said: str, style: str = "") -> Text:
    """A cell of a yielding column that is cut instead of folded."""
    return Text(said, style, no_wrap=True, overflow="ellipsis")
