"""Contracts and model side by side: each step is taken by both, and everything is compared. inv:I3 inv:I28 inv:I30 inv:I33"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

from tests.reference.chain import Site
from tests.reference.image import Image
from tests.reference.ledger import Refused
from tests.reference.properties import check_history, check_step, look
from tests.reference.protocol import Protocol, Step
from tests.reference.reader import Reader
from tests.reference.traces import Traces


_ALL_ANEW = 20  # steps
_LOOK = 6  # steps; and at each step that may end a deal
_ENDINGS = frozenset({"timeout_submit", "timeout_reveal", "timeout_mediation", "settle", "settle_batch", "submit_and_settle", "close",
                      "decline", "execute", "resolve", "unwind"})  # fmt: skip


class Difference(AssertionError):
    """Contracts and model part."""


@dataclass
class Tally:
    """What was done. `refusals`: how often each call was refused with which error; `words`: of storage that were compared."""

    histories: int = 0
    steps: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)  # of deals, by status
    sizes: Counter[int] = field(default_factory=Counter)  # of rounds that were drawn in disputes
    words: int = 0

    @property
    def transactions(self) -> int:
        """Steps that were calls of a contract: all but the passing of time."""
        return self.steps - self.calls["wait"]


class Twin:
    """A history: the model and the contracts, from the founded site on."""

    def __init__(self, site: Site, seed: int, tally: Tally | None = None) -> None:
        self.site, self.seed, self.tally = site, seed, tally or Tally()
        self.model: Protocol = deepcopy(site.base)
        self.traces = Traces(site, self.model, seed)
        contracts = {name: contract.address for name, contract in site.contracts.items()}
        self.image = Image(contracts, site.tokens, [*site.accounts, *contracts.values()])
        self.image.renew(self.model)
        self.last: deque[tuple[Step, str | None]] = deque(maxlen=25)
        self.steps = 0
        self.reader: Reader | None = None  # follows the events, if asked to

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.take(self.traces.next())
        self.compare_all()
        self._check(lambda: check_history(self.model))

    def take(self, step: Step) -> str | None:
        """Both take the step; answers the error with which it was refused."""
        self.steps += 1
        self.tally.steps += 1
        self.tally.calls[step.call] += 1
        found, skipped = self.site.send(step, self.model)
        expected, left_out = None, None
        before = look(self.model) if self.steps % _LOOK == 0 or step.call in _ENDINGS else None
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
        elif self.reader is not None and step.call not in ("wait", "seed"):
            self.reader.read(self.site.evm.logs(), self.model.clock.time)
        self.compare(step if found is None else None)
        if before is not None and found is None:
            self._check(lambda: check_step(before, self.model, step))
        return found

    def _check(self, properties: Callable[[], None]) -> None:
        try:
            properties()
        except AssertionError as broken:
            raise self.difference(str(broken)) from None

    def compare(self, step: Step | None) -> None:
        """Every word that there is; what should be in it is worked out anew where the step went, and now and then everywhere."""
        if self.steps % _ALL_ANEW == 0:
            self.image.renew(self.model)
        elif step is not None:
            self.image.renew(self.model, step)
        storage = self.site.evm.storage_of
        for part in self.image.parts.values():
            self.tally.words += len(part)
            for what, contract, found, value in part.differences(storage):
                raise self.difference(f"{what} of {self.site.names[contract]}: the contract has {found:#x}, the model {value:#x}")

    def compare_all(self) -> None:
        self.image.renew(self.model)
        self.compare(None)

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
