"""Texts of the screens about disputes: rounds, seats and votes, what is due, who got what."""

from __future__ import annotations

from collections.abc import Sequence

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.challenging import ChallengePlan
from lilypad_agents.agents.creator.disputes import FINDINGS, KINDS, SEATS, state_of, vote_text
from lilypad_agents.agents.runtime.disputes import Dispute, Round
from lilypad_agents.cli.output import table
from lilypad_agents.protocol.dispute import Finding, Phase, SeatState, seats_of
from lilypad_agents.protocol.ids import ZERO, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind

PHASES = {
    Phase.NONE: "begun",
    Phase.DUE: "seats due",
    Phase.QUEUED: "waiting for the draw",
    Phase.COMMIT: "seats run the job",
    Phase.OPEN: "provider opens its result",
    Phase.REVEAL: "seats reveal",
    Phase.APPEALABLE: "can be appealed",
    Phase.EXECUTABLE: "verdict to be executed",
    Phase.EXECUTED: "executed",
}


def dispute_lines(dispute: Dispute, kind: DisputeKind, begun_by: str, token: Token) -> list[str]:
    """All that is known of a dispute: its kind, each round with its seats and votes, and the division of its money."""
    facts = dispute.facts
    lines = [f"dispute   {KINDS.get(kind, kind.name.lower())}, begun by {begun_by}"]
    stands = "finding" if facts.ended else "finding so far"
    lines.append(f"          {facts.ended or PHASES[dispute.phase]}; {stands}: {FINDINGS[dispute.standing]}")
    for item in facts.rounds:
        lines += _round_lines(item, dispute, token)
    if facts.amounts:
        rows = [(account, token.show(amount)) for account, amount in facts.amounts if amount]
        rows += [("audit fund", token.show(facts.to_fund))] if facts.to_fund else []
        lines += ["", *table(("money of the dispute", "amount"), rows).splitlines()]
        lines.append(f"seats lost {token.show(facts.lost)}, the provider's part of it {token.show(facts.claim)}")
    return lines


def _round_lines(item: Round, dispute: Dispute, token: Token) -> list[str]:
    current = item.number == dispute.round
    finding = dispute.finding if current and dispute.finding is not Finding.NONE else item.finding
    paid = "" if item.appeal is None else f", appealed by {item.appeal.account} for {token.show(item.appeal.fee)}"
    lines = ["", f"round of {seats_of(item.number)}{paid}: {FINDINGS[finding]}"]
    states = dispute.seats if current and len(dispute.seats) == len(item.seating.accounts) else ()
    rows = [
        (seat, account, SEATS[state_of(item, seat, states)], vote_text(item.votes[seat].vote)[:18] if seat in item.votes else "")
        for seat, account in enumerate(item.seating.accounts)
    ]
    if rows:
        lines += table(("seat", "mediator", "says", "vote"), rows).splitlines()
    if item.seating.opened != ZERO:
        lines.append(f"the provider's own: {hex_of(item.seating.opened)[:18]}")
    return lines


def progress_text(dispute: Dispute) -> str:
    """One line of progress: the round, what happens in it, and how many seats have acted."""
    seats = dispute.seats
    text = f"round of {seats_of(dispute.round)}: {PHASES[dispute.phase]}"
    if dispute.phase is Phase.COMMIT:
        text += f", {_count(seats, SeatState.COMMITTED)} of {len(seats)} have"
    elif dispute.phase is Phase.REVEAL:
        text += f", {sum(seat >= SeatState.CONFIRMS for seat in seats)} of {len(seats)} have"
    elif dispute.phase in (Phase.APPEALABLE, Phase.EXECUTABLE):
        text += f"; {FINDINGS[dispute.standing]}"
    return text


def _count(seats: Sequence[SeatState], least: SeatState) -> int:
    return sum(seat >= least for seat in seats)


def challenge_lines(plan: ChallengePlan, token: Token) -> list[str]:
    """What a challenge costs and what each outcome pays, from before the deal on."""
    what = "the delivery" if plan.delivery else "the result"
    lines = [f"Challenging {what} costs {token.show(plan.fee)} now, out of your ledger balance."]
    if plan.drawn and not plan.delivery:
        lines.append("The lottery has drawn this deal: an audit checks it without you, and a challenge earns no bounty.")
    rows = [(name, token.show(amount)) for name, amount in plan.endings]
    return [*lines, *table(("outcome", "to you, from before the deal"), rows).splitlines()]
