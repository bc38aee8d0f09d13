"""What must hold whatever happens: properties of the list of invariants that no rule of the model states by itself.

Looked at around each step of a history. Since every word of the contracts is compared with the model after each step, what holds of
the model's states and moves holds of theirs.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from lilypad_agents.protocol.lifecycle import Status
from tests.reference.deals import Deal
from tests.reference.protocol import Protocol, Step
from tests.reference.terms import UNLIMITED

_HAD_RESULT = {Status.RESULTS_SUBMITTED, Status.IN_MEDIATION}
_NEVER_MORE = frozenset({"wait", "seed", "grant", "revoke", "cancel", "cancel_below", "set_operator", "refuse", "ask", "take_back"})


class Broken(AssertionError):
    """An invariant does not hold."""


class Before(NamedTuple):
    """What is remembered of a moment. `wealth`: wallet, free and locked credit and stake, by token and account."""

    wealth: Counter[tuple[str, str]]
    funds: Counter[tuple[str, str, bytes]]  # and what accrued for them
    deals: dict[bytes, tuple[Status, int]]


def look(model: Protocol) -> Before:
    ledger = model.ledger
    wealth: Counter[tuple[str, str]] = Counter(ledger.wallet)
    for part in (ledger.free, ledger.locked):
        for key, amount in part.items():
            wealth[key] += amount
    for terms, pool in model.stakes.values():
        for account, member in pool.members.items():
            wealth[terms.token, account] += member.staked + member.unbonding
    funds: Counter[tuple[str, str, bytes]] = Counter(ledger.funds)
    for place, parts in ledger.accrued.items():
        funds[place.fund] += parts[2]
    return Before(wealth, funds, {id_: (deal.status, deal.deadline) for id_, deal in model.deals.all.items() if not deal.status.is_final})


def check_step(before: Before, model: Protocol, step: Step) -> None:
    """Around a step that was taken. Raises Broken."""
    now = look(model)
    if step.call in _NEVER_MORE and (now.wealth, now.funds) != (before.wealth, before.funds):
        raise Broken(f"{step.call} moved money (inv:I19, inv:I20)")
    ended = [model.deals.all[id_] for id_, (_, _) in before.deals.items() if model.deals.all[id_].status.is_final]
    _check_deadlines(before, model)
    _check_who_pays(before, now, model, step)
    _check_endings(before, now, ended)


def _check_deadlines(before: Before, model: Protocol) -> None:
    for id_, (status, deadline) in before.deals.items():
        deal = model.deals.all[id_]
        if deal.status == status and deal.deadline != deadline:
            raise Broken("a deadline moved though the state did not (inv:I26)")
        if not deal.status.is_final and deal.status != status and deal.deadline < model.clock.time:
            raise Broken("a step began a clock that is over (inv:I26)")


def _check_who_pays(before: Before, now: Before, model: Protocol, step: Step) -> None:
    """Nobody has less but the caller, the parties of the deal, its seats, and the contracts that pay out. inv:I7 inv:I8 inv:I30"""
    places = model.places
    for key, amount in now.wealth.items():
        if amount >= before.wealth[key] or key[1] == step.who or key[1] in (places.core, places.staking, places.mediation):
            continue
        if not any(_may_cost(deal, model, key[1]) for deal in _deals_of(step, model)):
            raise Broken(f"{key[1]} lost {before.wealth[key] - amount} by {step.call} of {step.who} (inv:I8)")


def _deals_of(step: Step, model: Protocol) -> list[Deal]:
    first = step.args[0] if step.args else None
    ids = [first] if isinstance(first, bytes) else [item[0] for item in first] if isinstance(first, tuple) and first else []
    return [model.deals.all[id_] for id_ in ids if isinstance(id_, bytes) and id_ in model.deals.all]


def _may_cost(deal: Deal, model: Protocol, account: str) -> bool:
    """Its parties, its strategy, and who sits or sat; a redraw has put others into the seats of those that lost."""
    if account in (deal.record.creator, deal.record.provider, deal.record.strategy):
        return True
    dispute = model.mediation.disputes.get(deal.record.id)
    rounds = dispute.rounds if dispute else []
    return any(account in round_.accounts or round_.redrawn for round_ in rounds)


def _check_endings(before: Before, now: Before, ended: list[Deal]) -> None:
    if not ended:
        return
    premiums: Counter[tuple[str, str, bytes]] = Counter()
    for deal in ended:
        had_result = before.deals[deal.record.id][0] in _HAD_RESULT or deal.status == Status.ACCEPTED
        premiums[deal.accrual.fund] += deal.price.premium if had_result else 0
    for fund, premium in premiums.items():
        if now.funds[fund] - before.funds[fund] < premium:
            raise Broken("a deal that had a result ended without its premium (inv:I43)")
    if len(ended) > 1:
        return
    deal = ended[0]
    key = deal.record.token, deal.record.creator
    gained = now.wealth[key] - before.wealth[key]
    if deal.status == Status.MEDIATION_REJECTED and gained < deal.price.value:
        raise Broken("a wrong result left the creator with less than the value on top (inv:I44)")
    if -gained > deal.record.pair.job.max_price:
        raise Broken("a creator paid more than it signed (inv:I14)")


def check_history(model: Protocol) -> None:
    """Of all that happened. Raises Broken."""
    served = Counter((deal.record.resource_hash, deal.record.pair.resource.volume) for deal in model.deals.all.values())
    if any(count > volume for (_, volume), count in served.items() if volume != UNLIMITED):
        raise Broken("an offer served more than its volume (inv:I15)")
    nonces = Counter((deal.record.creator, deal.record.pair.job.nonce) for deal in model.deals.all.values() if deal.status != Status.DECLINED)
    if max(nonces.values(), default=1) > 1:
        raise Broken("a nonce opened two deals (inv:I16)")
    for id_, deal in model.deals.all.items():
        if model.deals.record(deal.record.pair).id != id_:
            raise Broken("the id of a deal is not that of its terms any more (inv:I21)")
    for id_, dispute in model.mediation.disputes.items():
        record = model.deals.all[id_].record
        sizes = [round_.size for round_ in dispute.rounds]
        if sizes != list(range(sizes[0], sizes[0] + len(sizes))):
            raise Broken("rounds do not grow by one size each (inv:I35)")
        parties = {record.creator, record.provider, record.solver, record.publisher}
        if any(parties & set(round_.accounts) for round_ in dispute.rounds):
            raise Broken("a party sits on its own panel (inv:I10)")
    model.check()
