"""Money as whole minor units and an ISO 4217 code; never a float."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units, for example cents; `currency` is an ISO 4217 code in capitals."""

    amount_minor: int
    currency: str

    def times(self, count: int) -> "Money":
        return Money(self.amount_minor * count, self.currency)

    def percent(self, percent: int) -> "Money":
        """A share of the amount, rounded down."""
        return Money(self.amount_minor * percent // 100, self.currency)
