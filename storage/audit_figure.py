"""What an audit says: figures, each with the rule that it proves or breaks."""

from dataclasses import dataclass
from typing import Final

EXAMPLES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """`counted` things, of which `faults` break the rule that `name` states. Not `judged`: printed for information.

    `about`: `counted` is the server's estimate, because counting would take too long.
    """

    name: str
    counted: int
    faults: int = 0
    judged: bool = True
    examples: tuple[str, ...] = ()
    about: bool = False
