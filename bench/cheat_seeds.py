"""A cheating provider before 9 mediators, one lazy and one absent, over 50 seeds; writes bench/results/cheat_seeds.json.

    python -m bench.cheat_seeds            (make demo-cheat-seeds)

The real contracts in an EVM inside this process, in simulated time. For each seed: a deal whose provider commits to a made-up
result. Where the seed's lottery draws the deal, an audit begins; otherwise the creator, who ran the job itself, challenges.
Seven mediators run the job, one votes the digest that the provider told it, one does nothing. Whenever a finding
contradicts the creator's own run, the creator pays for the next size, up to 15 seats. Ends 1 unless in every seed the
verdict is Wrong, the provider lost its whole bond, and the creator is richer by the value (and its bounty) to the wei.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bench.gas_world import ROOT
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Finding, Phase, SeatState
from lilypad_agents.protocol.price import challenger_bounty
from tests.support.panels import NEVER, RIGHT, WRONG, Case, Court, build_court

SEEDS = 50
MEDIATORS, SEATS_EACH = 9, 20
LAZY, ABSENT = 7, 8
TOLD, TRUE = RIGHT, WRONG  # of the helpers: the provider's digest, and another one, which here is what honest runs give
AUDIT_BPS, COLLATERAL_BPS = 800, 162_000  # the standard preset


@dataclass(frozen=True)
class Row:
    """One seed. Amounts in smallest units; seats as they sat in all rounds."""

    seed: int
    kind: str
    rounds: int
    appeals: int
    redraws: int
    lazy_seats: int
    absent_seats: int
    seconds: int  # simulated, from the dispute's begin to its execution
    verdict: str
    cheat: int
    creator: int
    fund: int
    right: bool


def main() -> None:
    court = build_court(MEDIATORS, SEATS_EACH)
    rows = [one(court, seed) for seed in range(1, SEEDS + 1)]
    right = sum(row.right for row in rows)
    report = {
        "about": "a cheat before 9 mediators (one lazy, one absent), real contracts, simulated time; python -m bench.cheat_seeds",
        "seeds": SEEDS,
        "right": right,
        "kinds": Counter(row.kind for row in rows),
        "rounds": Counter(str(row.rounds) for row in rows),
        "appeals_by_the_creator": sum(row.appeals for row in rows),
        "redraws": sum(row.redraws for row in rows),
        "longest_seconds": max(row.seconds for row in rows),
        "rows": [{**asdict(row), "cheat": str(row.cheat), "creator": str(row.creator), "fund": str(row.fund)} for row in rows],
    }
    (ROOT / "bench/results/cheat_seeds.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "rows"}, indent=2))
    if right != SEEDS:
        sys.exit(f"{SEEDS - right} of {SEEDS} seeds ended wrong: {[row.seed for row in rows if not row.right]}")


def one(court: Court, seed: int) -> Row:
    """One deal to its end."""
    world = court.world
    court.seeds = seed << 16
    creator = world.creator
    world.token.mint(creator, 10**22)
    world.token.approve(court.mediation, 10**22, sender=creator)
    drawn = int.from_bytes(keccak256(b"lottery" + seed.to_bytes(4, "big")), "big") % 10_000 < AUDIT_BPS
    begun = money(court)
    terms = {"job": {"audit_bps": AUDIT_BPS, "collateral_bps": COLLATERAL_BPS}}
    case = court.audited(**terms) if drawn else court.challenged(by=creator, **terms)
    began = world.evm.timestamp
    play = Play(case)
    while play.round() in (Finding.CONFIRMED, Finding.DIVIDED, Finding.ABSENT) and case.word is not None and case.word.number & 3 < 3:
        case.appeal(creator)
        play.appeals += 1
    _, division = case.execute()
    ended = money(court)
    bounty = 0 if drawn else challenger_bounty(case.deal)
    moved = {name: ended[name] - begun[name] for name in ended}
    whole = moved["creator"] >= case.deal.value + bounty
    right = case.status is Status.MEDIATION_REJECTED and moved["provider"] == -case.deal.collateral and whole
    return Row(
        seed, case.kind.name, len(case.seatings), play.appeals, play.redraws, play.lazy, play.absent,
        world.evm.timestamp - began, division.verdict.name, moved["provider"], moved["creator"], moved["fund"], right,
    )  # fmt: skip


def money(court: Court) -> dict[str, int]:
    """Everything that the parties have: ledger, free and locked, and tokens; and the pool's fund."""
    world = court.world
    found = {
        name: world.free(account) + world.locked(account) + world.token.balanceOf(account)
        for name, account in (("creator", world.creator), ("provider", world.provider))
    }
    pool = court.pool
    found["fund"] = world.core.fundOf(pool.strategy, pool.token, pool.id)
    return found


class Play:
    """Plays the seats of a dispute, round by round."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.appeals = self.redraws = self.lazy = self.absent = 0

    def round(self) -> Finding:
        """Goes on until a finding can be appealed; a panel that a lone seat calls sits without being asked for."""
        case = self.case
        case.seat()
        while True:
            phase, _, finding = case.now()
            if phase is Phase.APPEALABLE:
                self._count()
                return finding
            self._step(phase)

    def _step(self, phase: Phase) -> None:
        case = self.case
        if phase is Phase.COMMIT:
            self._commit()
        elif phase is Phase.OPEN:
            case.open()
        elif phase is Phase.REVEAL:
            self._reveal()
        elif phase is Phase.DUE:
            self.redraws += case.word is not None and case.word.phase is Phase.COMMIT
            case.seat()
        else:
            raise AssertionError(phase)

    def _choices(self) -> list[str]:
        told = {self._account(LAZY): TOLD, self._account(ABSENT): NEVER}
        return [told.get(account, TRUE) for account in self.case.seating.accounts]

    def _account(self, number: int) -> str:
        return self.case.court.mediators[number].address

    def _commit(self) -> None:
        case = self.case
        for seat, choice in enumerate(self._choices()):
            if choice != NEVER and case.word is not None and case.word.seats[seat] is SeatState.SILENT:
                case.commit(seat, choice)
        if case.now()[0] is Phase.COMMIT:
            case.pass_deadline()

    def _reveal(self) -> None:
        case = self.case
        for seat, choice in enumerate(self._choices()):
            if case.word is not None and case.word.seats[seat] is SeatState.COMMITTED:
                case.reveal(seat, choice)
        if case.now()[0] is Phase.REVEAL:
            case.pass_deadline()

    def _count(self) -> None:
        accounts: list[Any] = list(self.case.seating.accounts)
        self.lazy += accounts.count(self._account(LAZY))
        self.absent += accounts.count(self._account(ABSENT))


if __name__ == "__main__":
    main()
