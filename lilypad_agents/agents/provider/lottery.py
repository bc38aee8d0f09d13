"""What the seeds say about our submitted deals, read from the chain; and which of them need recording. Protocol 6.3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lilypad_agents.agents.provider.view import Lottery, SeedView
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView as BookEntry
from lilypad_agents.agents.runtime.seeds import SeedStatus, proving_of
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.protocol.digest import deciding_block, deciding_period, is_drawn
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.units import Period, Seconds, Timestamp


@dataclass
class Seeds:
    """Seeds by period, asked for once a block while a deal of ours hangs on them.

    A known seed does not change, but it may still expire unrecorded, so it is asked for until the deal is settled.
    `proving`: where a header has to prove a seed, blocks a period has and blocks from its first to the deciding one.
    """

    context: AgentContext
    randomness: Contract
    lifetime: Seconds
    proving: tuple[int, int] | None = None
    _first_seen: dict[Period, Timestamp] = field(default_factory=dict)
    _answers: dict[Period, tuple[SeedStatus, bytes]] = field(default_factory=dict)
    _block: bytes = b""

    @classmethod
    def of(cls, context: AgentContext, randomness: Contract) -> Seeds:
        return cls(context, randomness, Seconds(int(randomness.call("lifetime"))), proving_of(randomness))

    def look(self, entries: Iterable[BookEntry]) -> None:
        """Reads the seeds that decide on these deals at the cycle's block."""
        wanted = {deciding_period(entry.state.period) for entry in entries if _is_waiting(entry)}
        if self._block == self.context.head.hash and wanted <= set(self._answers):
            return
        self._block, self._answers = self.context.head.hash, {}
        self._first_seen = {period: at for period, at in self._first_seen.items() if period in wanted}
        if not wanted:
            return
        periods = sorted(wanted)
        calls = [self.randomness.prepare("seed", period) for period in periods]
        answers = call_many(self.context.rpc, calls, self.context.head)
        for period, answer in zip(periods, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            status = SeedStatus(answer[0])
            self._answers[period] = (status, bytes(answer[1]))
            if status is SeedStatus.KNOWN or self._is_provable(period, status):
                self._first_seen.setdefault(period, self.context.now)

    def lottery(self, entry: BookEntry) -> Lottery:
        """What decides on one deal, by the last look."""
        if entry.deal.audit_bps == 0 or entry.state.status is not Status.RESULTS_SUBMITTED:
            return Lottery.NONE
        status, seed = self._answers.get(deciding_period(entry.state.period), (SeedStatus.PENDING, b""))
        if status is SeedStatus.PENDING:
            return Lottery.PENDING
        if status is SeedStatus.EXPIRED:
            return Lottery.LOST
        return Lottery.DRAWN if is_drawn(seed, entry.id, entry.deal.audit_bps) else Lottery.SPARED

    def views(
        self, submitted: Mapping[Period, Timestamp], is_recorded: Callable[[Period], bool]
    ) -> dict[Period, SeedView]:
        """Age and life of the seeds that can be recorded. `submitted`: when the first result that hangs on a period was posted.

        A seed is younger than the result that it decides on, so the time since then bounds its age from above, also
        after a restart that did not see it appear.
        """
        found = {}
        for period, (status, _) in self._answers.items():
            awaited = self._is_provable(period, status)
            if status is SeedStatus.KNOWN or awaited:
                since = submitted.get(period, self._first_seen[period])
                age = Seconds(max(0, self.context.now - since))
                found[period] = SeedView(age, self.lifetime, is_recorded(period), awaited)
        return found

    def _is_provable(self, period: Period, status: SeedStatus) -> bool:
        """Whether the chain waits for a header that exists by now."""
        if self.proving is None or status is not SeedStatus.PENDING:
            return False
        return self.context.head.number > deciding_block(period, *self.proving)


def _is_waiting(entry: BookEntry) -> bool:
    return entry.deal.audit_bps > 0 and entry.state.status is Status.RESULTS_SUBMITTED
