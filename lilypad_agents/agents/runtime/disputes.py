"""Disputes at the panel strategy as the chain tells them: facts of rounds from events, the phase from the contract.

The strategy keeps hashes of what its callers bring back, so whoever acts needs the seatings that its events emitted.
Nothing here remembers anything: a look at any block gives the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.contract import BlockId, Contract, PreparedCall, call_many
from lilypad_agents.protocol.dispute import (
    NO_SEATING,
    Finding,
    Phase,
    Seating,
    SeatState,
    is_about_delivery,
)
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.mediation import RoundWord
from lilypad_agents.protocol.opening import NO_OPENING, ResultOpening
from lilypad_agents.protocol.units import Timestamp

MEDIATION = "LilypadMediation"
DISPUTE_EVENTS = (
    "SeatsDrawn", "ResultOpened", "DataNamed", "Tallied", "Appealed", "Committed", "Revealed", "RoundQueued",
    "DisputeExecuted", "DisputeUnwound", "MoneyDivided",
)  # fmt: skip


@dataclass(frozen=True)
class Vote:
    """A seat's word as it was revealed: `vote` 32 bytes, `served` whether the data was there."""

    account: Address
    vote: bytes
    served: bool
    state: SeatState


@dataclass(frozen=True)
class Appeal:
    """Who paid how much for a round, smallest units."""

    account: Address
    fee: int


@dataclass(frozen=True)
class Round:
    """One round: who sits, what they said, what it came to."""

    number: int
    seating: Seating = NO_SEATING
    finding: Finding = Finding.NONE
    votes: Mapping[int, Vote] = field(default_factory=dict)
    committed: frozenset[int] = frozenset()
    appeal: Appeal | None = None
    redrawn: bool = False

    @property
    def is_drawn(self) -> bool:
        return bool(self.seating.accounts)


@dataclass(frozen=True)
class Facts:
    """What the events of one dispute tell, in the order of rounds. `amounts`: who got what by its end, smallest units."""

    rounds: tuple[Round, ...] = ()
    opening: ResultOpening = NO_OPENING
    ended: str = ""  # "executed" or "unwound"
    amounts: tuple[tuple[Address, int], ...] = ()
    to_fund: int = 0
    lost: int = 0
    claim: int = 0
    since: int = 0  # block of the last event

    @property
    def drawn(self) -> tuple[Round, ...]:
        return tuple(item for item in self.rounds if item.is_drawn)

    @property
    def seating(self) -> Seating:
        """Of the round that was drawn last; what most calls bring back."""
        return self.drawn[-1].seating if self.drawn else NO_SEATING

    @property
    def seatings(self) -> tuple[Seating, ...]:
        """Of all rounds that were drawn, in their order."""
        return tuple(item.seating for item in self.drawn)

    @property
    def standing(self) -> Finding:
        """Of the last round that was tallied."""
        return next((item.finding for item in reversed(self.rounds) if item.finding is not Finding.NONE), Finding.NONE)

    def paid_by(self, account: str) -> int:
        """What an account paid for appeals, smallest units."""
        return sum(item.appeal.fee for item in self.rounds if item.appeal is not None and item.appeal.account == account)


@dataclass(frozen=True)
class Dispute:
    """One dispute at one block. `phase`, `deadline` (unix seconds, 0: none) and `finding`: what time has done is counted in.

    `seats`: states of the seats of the round that stands.
    """

    deal_id: DealId
    delivery: bool
    phase: Phase
    deadline: Timestamp
    round: int
    finding: Finding
    opened: bool
    seats: tuple[SeatState, ...]
    facts: Facts

    @property
    def standing(self) -> Finding:
        """The finding that the next execution would carry out; None as long as no round came to one."""
        return self.finding if self.finding is not Finding.NONE else self.facts.standing


def facts_of(events: Iterable[DecodedEvent], *, delivery: bool) -> Facts:
    """Replays the strategy's events of one deal, in chain order. `delivery`: of its dispute about delivery, or of the other."""
    rounds: dict[int, Round] = {}
    facts = Facts()
    for event in events:
        number = event.args.get("round")
        if number is not None and is_about_delivery(number) != delivery:
            continue
        if number is None and not _belongs(rounds, facts):
            continue  # the end of the deal's other dispute
        if number is not None:
            rounds[number] = _after(rounds.get(number, Round(number)), event)
        facts = _noted(facts, event)
    return replace(facts, rounds=tuple(rounds[number] for number in sorted(rounds)))


def _belongs(rounds: Mapping[int, Round], facts: Facts) -> bool:
    """An event without a round ends the dispute whose rounds came before it; one that ended takes no more words."""
    return bool(rounds) and not (facts.ended and facts.amounts)


def _after(known: Round, event: DecodedEvent) -> Round:
    args = event.args
    if event.name == "SeatsDrawn":
        kept = known.votes if args["redraw"] else {}
        return replace(known, seating=Seating.of(args["seating"]), redrawn=bool(args["redraw"]), votes=kept)
    if event.name == "ResultOpened":
        return replace(known, seating=replace(known.seating, opened=bytes(args["digest"])))
    if event.name == "DataNamed":
        return replace(known, seating=replace(known.seating, opened=bytes(args["dataId"])))
    if event.name == "Committed":
        return replace(known, committed=known.committed | {int(args["seat"])})
    if event.name == "Revealed":
        vote = Vote(Address(args["account"]), bytes(args["vote"]), bool(args["served"]), SeatState(args["state"]))
        return replace(known, votes={**known.votes, int(args["seat"]): vote})
    if event.name == "Tallied":
        return replace(known, finding=Finding(args["finding"]))
    if event.name == "Appealed":
        return replace(known, appeal=Appeal(Address(args["appellant"]), int(args["fee"])))
    return known


def _noted(facts: Facts, event: DecodedEvent) -> Facts:
    args, facts = event.args, replace(facts, since=event.block_number)
    if event.name == "ResultOpened":
        opening = args["opening"]
        return replace(facts, opening=ResultOpening(*(bytes(word) for word in opening)))
    if event.name in ("DisputeExecuted", "DisputeUnwound"):
        return replace(facts, ended="executed" if event.name == "DisputeExecuted" else "unwound")
    if event.name == "MoneyDivided":
        amounts = tuple(
            (Address(account), int(amount)) for account, amount in zip(args["accounts"], args["amounts"], strict=True)
        )
        return replace(
            facts, amounts=amounts, to_fund=int(args["toFund"]), lost=int(args["lost"]), claim=int(args["claim"])
        )
    return facts


def look(
    mediation: Contract, facts: Mapping[DealId, tuple[Facts, bool]], block: BlockId = "latest"
) -> dict[DealId, Dispute]:
    """The disputes of these deals at one block, in two requests' worth of calls. `facts`: with whether it is about delivery.

    Raises ChainUnreachable, RpcError; a deal whose seating the chain does not know (a reorganisation) is left out.
    """
    calls: list[PreparedCall] = []
    for deal_id, (known, _) in facts.items():
        calls.append(mediation.prepare("disputeStateOf", deal_id))
        calls.append(mediation.prepare("phaseOf", deal_id, known.seating))
    answers = call_many(mediation.rpc, calls, block)
    found = {}
    for index, (deal_id, (known, delivery)) in enumerate(facts.items()):
        state, phase = answers[2 * index : 2 * index + 2]
        if isinstance(state, Exception) or isinstance(phase, Exception):
            continue
        found[deal_id] = _dispute(deal_id, delivery, known, state, phase)
    return found


def _dispute(deal_id: DealId, delivery: bool, facts: Facts, state: Sequence[Any], phase: Sequence[Any]) -> Dispute:
    word = RoundWord.unpack(int(state[0]))
    if word is None or word.is_delivery != delivery:  # what ended was the deal's other dispute
        return Dispute(deal_id, delivery, Phase.NONE, Timestamp(0), 0, Finding.NONE, False, (), facts)
    return Dispute(
        deal_id=deal_id,
        delivery=delivery,
        phase=Phase(phase[0]),
        deadline=Timestamp(int(phase[1])),
        round=word.number,
        finding=Finding(phase[2]),
        opened=word.opened,
        seats=tuple(SeatState(seat) for seat in word.seats),
        facts=facts,
    )
