"""Runs contracts and model side by side on made-up histories, and compares everything after each step.

    python -m tests.reference.differential --steps 1000000     # resumable; bench/results/assure_model.json

A history starts from the founded site, takes some hundred steps, and ends with the drain (`ending`). A difference names the seed
of its history and prints the last steps; `--seed N` plays that history alone.
"""

from __future__ import annotations

from collections import Counter, deque
from copy import deepcopy
from dataclasses import dataclass, field

from tests.reference.chain import Site
from tests.reference.image import Image
from tests.reference.ledger import Refused
from tests.reference.protocol import Protocol, Step
from tests.reference.traces import Traces


class Difference(AssertionError):
    """Contracts and model part."""


@dataclass
class Tally:
    """What was done. `refusals`: how often each call was refused with which error."""

    steps: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    words: int = 0


class Twin:
    """A history: the model and the contracts, from the founded site on."""

    def __init__(self, site: Site, seed: int, tally: Tally | None = None) -> None:
        self.site, self.seed, self.tally = site, seed, tally or Tally()
        self.model: Protocol = deepcopy(site.base)
        self.traces = Traces(site, self.model, seed)
        contracts = {name: contract.address for name, contract in site.contracts.items()}
        self.image = Image(contracts, site.tokens, [*site.accounts, *contracts.values()])
        self.last: deque[tuple[Step, str | None]] = deque(maxlen=25)
        self.steps = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.take(self.traces.next())
        self.model.check()

    def take(self, step: Step) -> str | None:
        """Both take the step; answers the error with which it was refused."""
        self.steps += 1
        self.tally.steps += 1
        self.tally.calls[step.call] += 1
        found, skipped = self.site.send(step, self.model)
        expected, left_out = None, None
        try:
            left_out = self.model.take(step)
        except Refused as refused:
            expected = refused.args[0]
        self.last.append((step, found))
        if found != expected:
            raise self.difference(f"the contracts say {found}, the model {expected}")
        if found is None and (skipped or {}) != (left_out or {}):
            raise self.difference(f"the contracts left out {skipped}, the model {left_out}")
        if found is not None:
            self.tally.refusals[step.call, found] += 1
        self.compare()
        return found

    def compare(self) -> None:
        """Every word."""
        storage = self.site.evm.storage_of
        for what, contract, slot, value in self.image.words(self.model):
            self.tally.words += 1
            if storage(contract, slot) != value:
                name = self.site.names[contract]
                raise self.difference(f"{what} of {name}: the contract has {storage(contract, slot):#x}, the model {value:#x}")

    def difference(self, what: str) -> Difference:
        shown = "\n".join(f"  {self.show(step)} -> {error or 'done'}" for step, error in self.last)
        return Difference(f"history {self.seed}, step {self.steps}: {what}; the last steps:\n{shown}")

    def show(self, step: Step) -> str:
        return f"{self.site.names.get(step.who, step.who)}: {step.call}{self._named(step.args)}"

    def _named(self, value: object) -> str:
        if isinstance(value, str):
            return self.site.names.get(value, value)
        if isinstance(value, bytes):
            return value.hex()[:10]
        if isinstance(value, tuple):
            return "(" + ", ".join(self._named(item) for item in value) + ")"
        return repr(value)[:300]
