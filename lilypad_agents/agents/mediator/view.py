"""What the mediator sees when it decides: one moment of the chain and of its own work, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lilypad_agents.agents.provider.capacity import NOTHING, Need
from lilypad_agents.agents.provider.view import Lottery, SeedView
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.dispute import Finding, Phase, SeatState
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount, Period, Seconds, Timestamp

NEVER = Timestamp(2**40 - 1)


class Stage(StrEnum):
    """How far our own re-run of a job is."""

    NEW = "new"
    FETCHING = "fetching"
    READY = "ready"  # everything is here and checked
    RUNNING = "running"
    DONE = "done"  # there is a word


class Check(StrEnum):
    """Whether the result data that the provider named can be had."""

    NONE = "none"  # nothing was asked for yet, or the last attempt failed
    CHECKING = "checking"
    SERVED = "served"  # all of it came, and it is the result


class Action(StrEnum):
    """What is done; together with its subject the natural key of an intent."""

    FETCH = "fetch"
    RUN = "run"
    CHECK = "check"
    STOP = "stop"
    VOTE = "vote"  # decides on a vote and stores it durably
    RECOVER = "recover"  # finds the vote behind a commitment that an earlier life made
    COMMIT = "commit"
    REVEAL = "reveal"
    EVIDENCE = "evidence"  # leaves digest and receipt for both parties
    AUDIT = "audit"
    QUEUE = "queue"
    DRAW = "draw"
    EXECUTE = "execute"
    UNWIND = "unwind"
    TIMEOUT_MEDIATION = "timeout-mediation"
    APPEAL = "appeal"
    APPROVE = "approve"
    RECORD = "record"
    APPLY = "apply"
    DRAW_CANCELLED = "draw-cancelled"
    WITHDRAW = "withdraw"
    ORDER = "order"  # a step of what the user asked for


@dataclass(frozen=True)
class Work:
    """Our own progress with one job. `word`: what our re-run says (a digest, or why there is none), None before.

    `since`: block time at which this life of the agent first asked for what the job needs (None: it did not). `retry_at`:
    block time before which a failed fetch is not tried again. `trouble`: the last one failed by this machine's fault (a
    full disk), not because something was not served.
    """

    stage: Stage = Stage.NEW
    word: bytes | None = None
    need: Need = NOTHING
    retry_at: Timestamp = Timestamp(0)
    trouble: bool = False
    since: Timestamp | None = None


@dataclass(frozen=True)
class Data:
    """The result data that the provider named: its state here, and when a failed attempt may be repeated.

    `trouble`: the last attempt failed by this machine's fault. `since`: block time at which this life of the agent first
    asked for it (None: it did not).
    """

    check: Check = Check.NONE
    retry_at: Timestamp = Timestamp(0)
    trouble: bool = False
    since: Timestamp | None = None


@dataclass(frozen=True)
class SeatView:
    """One seat of ours in the round that stands. `matches`: the commitment on chain is that of our vote (None: the node did not tell it).

    `under_way`: actions of this seat whose transaction is not over.
    """

    index: int
    state: SeatState
    matches: bool | None = None
    under_way: frozenset[Action] = frozenset()


@dataclass(frozen=True)
class DisputeView:
    """One dispute of a pool of ours, at the cycle's block.

    `deadline`: of the phase, unix seconds. `opened`: the provider's digest (delivery: its data id), empty before.
    `vote`: ours in this round, stored durably. `next_in_queue`: its ticket is the pool's next and the seed is known.
    `since`: block time at which we saw this phase begin; `turn`: seconds that we leave its steps to other keepers.
    `recoverable`: nothing that we know makes the commitment on chain, so the search may go on (False: given up).
    """

    id: DealId
    deal: Deal
    state: DealState
    pool: PoolTerms
    phase: Phase
    round: int
    deadline: Timestamp
    last_call: Timestamp
    delivery: bool = False
    standing: Finding = Finding.NONE
    opened: bytes = b""
    seats: tuple[SeatView, ...] = ()
    vote: bytes | None = None
    work: Work = Work()
    data: Data = Data()
    next_in_queue: bool = False
    since: Timestamp = Timestamp(0)
    turn: Seconds = Seconds(0)
    ended: bool = False  # executed or unwound
    recoverable: bool = True
    evidence_due: bool = False
    appeal_asked: bool = False  # by the user
    under_way: frozenset[Action] = frozenset()

    @property
    def is_seated(self) -> bool:
        return bool(self.seats)

    @property
    def window(self) -> Seconds:
        """Length of the window in which seats commit (delivery: the pool's reveal window, since they only fetch)."""
        return self.pool.reveal_window if self.delivery else self.pool.commit_window


@dataclass(frozen=True)
class DrawnDeal:
    """A deal of ours that the lottery drew and nobody has audited. `until`: last second of the audit; `lacking`: what the
    fund lacks of its fees, smallest units."""

    id: DealId
    deal: Deal
    lottery: Lottery
    until: Timestamp
    lacking: Amount
    since: Timestamp = Timestamp(0)
    turn: Seconds = Seconds(0)
    under_way: frozenset[Action] = frozenset()


@dataclass(frozen=True)
class PoolView:
    """What waits in a pool. `ours_pending`: a change of our own stake waits; `postponed`: changes wait, and so does the round in
    front, for a later period than its own; `cancelled`: the next ticket was cancelled and its seed is known;
    `withdrawable`: unbonded stake of ours whose time is over, smallest units. `occasion`: the ticket or period that steps
    are about now, `since` when, and `turn`: as in `DisputeView`.
    """

    terms: PoolTerms
    frozen: bool = False
    ours_pending: bool = False
    postponed: bool = False
    cancelled: bool = False
    withdrawable: Amount = Amount(0)
    occasion: DealId | None = None
    since: Timestamp = Timestamp(0)
    turn: Seconds = Seconds(0)
    under_way: frozenset[Action] = frozenset()


@dataclass(frozen=True)
class Money:
    """Ours in one token, smallest units: in the wallet, what the strategy may take from it, what open appeals of ours cost."""

    wallet: Amount = Amount(0)
    allowance: Amount = Amount(0)
    appealed: Amount = Amount(0)


@dataclass(frozen=True)
class MediatorView:
    """Everything that a decision depends on. `time`: block time. `free_slots`, `free`: what running jobs leave.

    `needed_seeds`: periods whose seed an undecided deal or round of our pools hangs on.
    """

    time: Timestamp
    account: Address
    disputes: tuple[DisputeView, ...] = ()
    drawn: tuple[DrawnDeal, ...] = ()
    pools: tuple[PoolView, ...] = ()
    money: Mapping[Address, Money] = field(default_factory=dict)
    seeds: Mapping[Period, SeedView] = field(default_factory=dict)
    free_slots: int = 0
    free: Need = NOTHING

