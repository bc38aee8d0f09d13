"""Disputes over a creator's deals, for people and programs: what was said, who must act next, who got what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.runtime.disputes import Dispute, Round
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.dispute import Finding, Phase, SeatState, appeal_fee, is_about_delivery, next_round, seats_of
from lilypad_agents.protocol.ids import ZERO, Address, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind
from lilypad_agents.protocol.units import Timestamp

KINDS: Mapping[DisputeKind, str] = MappingProxyType(
    {
        DisputeKind.CHALLENGE: "challenge of the result",
        DisputeKind.CHALLENGE_DRAWN: "challenge of the result, after the lottery drew the deal",
        DisputeKind.DELIVERY: "challenge of the delivery",
        DisputeKind.AUDIT: "audit, paid by the pool's fund",
        DisputeKind.AUDIT_EXPIRED: "audit, paid by the provider since the seed was lost",
    }
)
FINDINGS: Mapping[Finding, str] = MappingProxyType(
    {
        Finding.NONE: "nothing yet",
        Finding.CONFIRMED: "the provider is right",
        Finding.OTHER_DIGEST: "the result is another",
        Finding.UNSERVED: "something was not served",
        Finding.NOT_OPENED: "the provider did not open its result",
        Finding.BROKEN: "the module is broken",
        Finding.DIVIDED: "the re-runs disagree",
        Finding.ABSENT: "too few seats spoke",
    }
)
SEATS: Mapping[SeatState, str] = MappingProxyType(
    {
        SeatState.SILENT: "silent",
        SeatState.COMMITTED: "committed",
        SeatState.CONFIRMS: "confirms the provider",
        SeatState.UNSERVED: "same digest, data not served",
        SeatState.OTHER_DIGEST: "another digest",
        SeatState.UNAVAILABLE: "not served what it needs",
        SeatState.MODULE_BROKEN: "module broken",
        SeatState.CANNOT_RUN: "cannot run it",
    }
)


def key_of(dispute: Dispute | None) -> tuple[Any, ...]:
    """Differs when there is something new to tell about a dispute."""
    if dispute is None:
        return ()
    return dispute.phase, dispute.round, dispute.finding, dispute.seats, dispute.facts.ended


def next_in_dispute(dispute: Dispute, deal: Deal, token: Token | None, now: Timestamp, limit: int) -> tuple[str, int]:
    """Who must act, and the last second for it (unix). `limit`: the deadline of the whole mediation."""
    end = dispute.deadline or limit
    left = f"within {max(0, end - now)} s"
    if dispute.phase is Phase.APPEALABLE:
        round_ = next_round(dispute.round)
        if round_ is None:
            return f"anyone: execute the verdict, {left}", end
        fee = appeal_fee(deal, round_)
        price = f"{fee} smallest units" if token is None else token.show(fee)
        return f"whoever disagrees: appeal to {seats_of(round_)} seats for {price}, {left}; silence lets it stand", end
    told = {
        Phase.NONE: "anyone: queue the first round",
        Phase.DUE: "anyone: queue the seats that are due",
        Phase.QUEUED: "anyone: draw the seats, once the seed is known",
        Phase.COMMIT: "the seats: fetch the data and commit" if dispute.delivery else "the seats: run the job and commit",
        Phase.OPEN: "the provider: name its data" if dispute.delivery else "the provider: open its commitment",
        Phase.REVEAL: "the seats: reveal",
        Phase.EXECUTABLE: "anyone: execute the verdict",
        Phase.EXECUTED: "nobody: the verdict is executed",
    }
    return f"{told[dispute.phase]}, {left}", end


def vote_text(vote: bytes) -> str:
    """A revealed vote in words: a digest, or one of the small numbers that are none."""
    number = int.from_bytes(vote, "big")
    return {1: "Unavailable", 2: "ModuleBroken", 3: "CannotRun", 4: "served"}.get(number, hex_of(vote))


def as_json(dispute: Dispute, kind: DisputeKind, by: Address, token: Token) -> dict[str, Any]:
    """The dispute as data; amounts as decimal strings of the token."""
    facts = dispute.facts
    return {
        "kind": kind.name,
        "begunBy": by,
        "phase": dispute.phase.name,
        "round": dispute.round,
        "deadline": int(dispute.deadline) or None,
        "opened": dispute.opened,
        "finding": dispute.standing.name,
        "ended": facts.ended or None,
        "rounds": [_round_json(item, dispute, token) for item in facts.rounds],
        "money": {account: token.decimal(amount) for account, amount in _summed(facts.amounts).items()},
        "toFund": token.decimal(facts.to_fund),
        "lostBySeats": token.decimal(facts.lost),
        "claimedFromProvider": token.decimal(facts.claim),
    }


def _round_json(item: Round, dispute: Dispute, token: Token) -> dict[str, Any]:
    current = item.number == dispute.round
    states = dispute.seats if current and len(dispute.seats) == len(item.seating.accounts) else ()
    finding = dispute.finding if current and dispute.finding is not Finding.NONE else item.finding
    return {
        "round": item.number,
        "delivery": is_about_delivery(item.number),
        "size": seats_of(item.number),
        "finding": finding.name,
        "opened": hex_of(item.seating.opened) if item.seating.opened != ZERO else None,
        "appellant": None if item.appeal is None else item.appeal.account,
        "appealFee": None if item.appeal is None else token.decimal(item.appeal.fee),
        "seats": [
            {
                "account": account,
                "state": state_of(item, seat, states).name,
                "vote": vote_text(item.votes[seat].vote) if seat in item.votes else None,
            }
            for seat, account in enumerate(item.seating.accounts)
        ],
    }


def state_of(item: Round, seat: int, states: tuple[SeatState, ...]) -> SeatState:
    """What is known of a seat: by the strategy's word of the running round, else by the events of its round."""
    if seat in item.votes:
        return item.votes[seat].state
    if states:
        return states[seat]
    return SeatState.COMMITTED if seat in item.committed else SeatState.SILENT


def _summed(amounts: tuple[tuple[Address, int], ...]) -> dict[Address, int]:
    """What each account got in all, in the order in which they come."""
    found: dict[Address, int] = {}
    for account, amount in amounts:
        found[account] = found.get(account, 0) + amount
    return found
