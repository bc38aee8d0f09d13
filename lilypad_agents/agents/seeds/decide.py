"""What a participant does at one moment: pure, from what the chain shows. Times unix seconds of block time, money wei.

A bond is lost only when a commitment is not opened, so reveals come first, and nothing is committed to whose reveal the
account could not pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lilypad_agents.agents.seeds.settings import SeedConfig
from lilypad_agents.protocol.commit_reveal import Rounds
from lilypad_agents.protocol.units import Period, Timestamp

# Wei that a commitment leaves in the free bond. One that emptied it would make what brings a bond back dearer by 17,100 gas
# (a write into an empty slot) than its estimate from before, and it would run out of gas.
LEFT_FREE = 1
# Gas limits of the outbox for the first ones of a period, which are the dearest: what they need before the chain gives
# some back for cleared storage, and two fifths more (`SeedSettings.GAS_MARGIN_PERCENT`), rounded up.
COMMIT_GAS, REVEAL_GAS = 131_000, 94_000
LOOKED_BACK = 24  # periods in which lost bonds count against further ones
_LEAST_RESERVE = 1_000  # parts of a bond, of which one is kept for its reveal in any case
_WHOLE_BPS = 10_000


class Action(StrEnum):
    """What it sends; also the first part of its keys in the outbox."""

    REVEAL = "reveal"
    COMMIT = "commit"
    RECLAIM = "reclaim"


@dataclass(frozen=True)
class Commitment:
    """One of the account that is not open yet. `ours`: made from our secret. `revealed`: secrets of its period that are out."""

    period: Period
    ours: bool = True
    revealed: int = 0


@dataclass(frozen=True)
class SeedView:
    """One look. `time`: of the head block. `free`: bonds of the account without a commitment, `coin`: its balance, wei.

    `bid`: what a transaction of ours would offer for a unit of gas now, wei. `commitments`: the account's that are not open.
    `busy`: what is on its way already, or failed so lately that it has to wait. `lost`: periods known to have cost the bond.
    """

    time: Timestamp
    rounds: Rounds
    free: int
    coin: int
    bid: int
    commitments: tuple[Commitment, ...] = ()
    busy: frozenset[tuple[Action, Period]] = frozenset()
    lost: frozenset[Period] = frozenset()

    @property
    def next(self) -> Period:
        """The period that can be committed for."""
        return Period(self.rounds.period_at(self.time) + 1)

    def is_over(self, period: int) -> bool:
        """Whether no secret of the period is taken any more."""
        return self.time > self.rounds.reveal_end(period)


@dataclass(frozen=True)
class Intent:
    """A transaction that is due. `deadline`: the last second in which it can do any good. `value`: wei that go along."""

    action: Action
    period: Period
    deadline: Timestamp | None = None
    value: int = 0


@dataclass(frozen=True)
class Decision:
    """`missing`: wei that the account lacks for what it should do. `foreign`: open commitments that are not from our secret.

    `lost`: periods whose bond is gone for ever, as far as this look shows it. `halted`: the first period for which it commits
    again, where so many bonds were lost lately that something must keep its reveals out (None: it goes on). `idle`: no bond
    of ours can come back any more, and nothing is on its way.
    """

    intents: tuple[Intent, ...] = ()
    missing: int = 0
    foreign: tuple[Period, ...] = ()
    lost: tuple[Period, ...] = ()
    halted: Period | None = None
    idle: bool = False


def decide(view: SeedView, config: SeedConfig) -> Decision:
    """Reveals by their deadlines, then bonds that come back, then the commitment for the next period."""
    commitments = sorted(view.commitments, key=lambda item: item.period)
    over = [item for item in commitments if view.is_over(item.period)]
    open_ = [item for item in commitments if not view.is_over(item.period)]
    own = [item.period for item in open_ if item.ours]
    back = [item.period for item in over if item.revealed == 0]
    wanted = [*_reveals(view, own), *(Intent(Action.RECLAIM, period) for period in back)]
    missing = max(0, len(own) * REVEAL_GAS * view.bid - view.coin)
    lost = [item.period for item in over if item.revealed]
    halted = _halted(view.next, view.lost.union(lost), config.most_lost)
    if not config.leave and halted is None and all(item.period != view.next for item in open_):
        commit, short = _commit(view, config, own)
        wanted += commit
        missing = max(missing, short)
    return Decision(
        intents=tuple(intent for intent in wanted if (intent.action, intent.period) not in view.busy),
        missing=missing,
        foreign=tuple(item.period for item in open_ if not item.ours),
        lost=tuple(lost),
        halted=halted,
        idle=not (own or back or view.busy),
    )


def _halted(next_: Period, lost: frozenset[Period], most: int) -> Period | None:
    """The period at which fewer than `most` of these lie within `LOOKED_BACK` periods; None: they do so already."""
    latest = sorted(lost)[-most:]
    until = Period(latest[0] + LOOKED_BACK) if len(latest) == most else next_
    return until if until > next_ else None


def _reveals(view: SeedView, own: list[Period]) -> list[Intent]:
    due = [period for period in own if view.time >= view.rounds.reveal_start(period)]
    return [Intent(Action.REVEAL, period, view.rounds.reveal_end(period)) for period in due]


def _commit(view: SeedView, config: SeedConfig, own: list[Period]) -> tuple[list[Intent], int]:
    """The commitment for the next period, as far as it is time and the account can pay it with all reveals; what it lacks."""
    rounds, begun = view.rounds, view.rounds.start(view.next)
    if (Action.COMMIT, view.next) in view.busy:
        return [], 0
    last = min(begun - 1, rounds.start(view.next - 1) + rounds.period_s * config.commit_by_bps // _WHOLE_BPS)
    value = max(0, rounds.bond + LEFT_FREE - view.free)
    # A bid for gas says nothing of what a rollup asks for data, nor of tomorrow where gas costs nothing today.
    reveal = max(view.bid * REVEAL_GAS * config.reveal_reserve, rounds.bond // _LEAST_RESERVE)
    fees = view.bid * COMMIT_GAS + (len(own) + 1) * reveal
    short = max(0, value + fees - view.coin)
    if short == 0:
        return ([Intent(Action.COMMIT, view.next, Timestamp(begun - 1), value)] if view.time <= last else []), 0
    coming = sum(rounds.reveal_end(period) <= last for period in own) * rounds.bond
    waits = view.time <= last and short <= coming and fees <= view.coin  # for bonds that come back in time
    return [], 0 if waits else short
