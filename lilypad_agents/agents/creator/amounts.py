"""Amounts of a token as people write them: exact decimals, never floats."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.units import UINT96_MAX, Amount

_DECIMAL = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,36}))?")


@dataclass(frozen=True)
class Token:
    """A token as people know it. `decimals`: digits after the point of one whole token."""

    address: Address
    symbol: str
    decimals: int

    def show(self, amount: int) -> str:
        """`12.5 LILY`: all digits that count, none that do not."""
        return f"{self.decimal(amount)} {self.symbol}"

    def decimal(self, amount: int) -> str:
        """The amount as a decimal string without the symbol; a minus sign for negative ones."""
        sign, amount = ("-", -amount) if amount < 0 else ("", amount)
        whole, part = divmod(amount, 10**self.decimals)
        digits = str(part).rjust(self.decimals, "0").rstrip("0") if self.decimals else ""
        return f"{sign}{whole}" + (f".{digits}" if digits else "")

    def parse(self, text: str, what: str = "amount") -> Amount:
        """Smallest units of a decimal text such as `1.5`, with or without the symbol. Raises RequestInvalid."""
        bare = text.strip()
        if bare.lower().endswith(self.symbol.lower()):
            bare = bare[: -len(self.symbol)].strip()
        match = _DECIMAL.fullmatch(bare)
        if match is None:
            raise RequestInvalid(f"{what}: {text!r} is no amount; write a decimal number such as 1.5.", found=text)
        part = match[2] or ""
        if len(part.rstrip("0")) > self.decimals:
            raise RequestInvalid(f"{what}: {text!r} has more than the {self.decimals} decimals of {self.symbol}.", found=text)
        amount = int(match[1]) * 10**self.decimals + int((part[: self.decimals].ljust(self.decimals, "0")) or 0)
        if amount > UINT96_MAX:
            raise RequestInvalid(f"{what}: {text!r} is more than the ledger can hold.", found=text)
        return Amount(amount)
