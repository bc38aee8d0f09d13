"""How every history ends: each honest party alone ends its deals, and then everything is taken out. inv:I5 inv:I6

Only the party's own calls, and time; seeds become known or are lost, whichever the trace says. What is left in the end belongs to
the funds, or was sent past the ledger.
"""

from __future__ import annotations

from copy import deepcopy

from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from tests.reference.chain import PERIOD_BLOCKS
from tests.reference.deals import Deal, Lottery
from tests.reference.protocol import Step
from tests.reference.staking import PoolModel
from tests.reference.terms import PoolTerms
from tests.reference.twin import Twin

PARTIES = ("creator", "provider", "anybody")


def end(twin: Twin, last: str) -> None:
    """Every party from the same state; the history goes on with what `last` did."""
    for party in PARTIES:
        if party != last:
            _try(twin, party)
    alone(twin, last)
    drain(twin)


def _try(twin: Twin, party: str) -> None:
    """What a party could do, and back."""
    site, model, traces = twin.site, twin.model, twin.traces
    checkpoint, kept = site.evm.checkpoint(), (deepcopy(model), dict(traces.results), traces.choose.getstate())
    reader, twin.reader = twin.reader, None
    alone(twin, party)
    twin.reader = reader
    site.evm.rollback(checkpoint)
    twin.model, results, state = kept
    twin.image.renew(twin.model)
    traces.model, traces.results = twin.model, results
    traces.choose.setstate(state)


def alone(twin: Twin, party: str) -> None:
    """Ends every deal by calls of this party of it."""
    for deal in list(twin.model.deals.all.values()):
        start = twin.model.clock.time
        for _ in range(8):
            if deal.status.is_final:
                break
            _push(twin, deal, party)
        if not deal.status.is_final:
            raise twin.difference(f"inv:I5: the {party} alone cannot end a deal that is {deal.status.name}")
        if twin.model.clock.time - start > _longest(twin, deal):
            raise twin.difference("inv:I5: ending a deal took longer than its windows")


def _longest(twin: Twin, deal: Deal) -> int:
    limits, record = twin.model.deals.parameters, deal.record
    return record.submit_window + 2 * record.judge_window + limits.reveal_window + 2 * limits.mediation_limit + 4 * PERIOD_BLOCKS


def _must(twin: Twin, step: Step) -> None:
    error = twin.take(step)
    if error is not None:
        raise twin.difference(f"inv:I5, inv:I6: {twin.show(step)} was refused with {error}")


def _wait_until(twin: Twin, time: int) -> None:
    ahead = time - twin.model.clock.time
    if ahead > 0:
        _must(twin, Step("wait", twin.traces.keeper, (ahead, ahead)))


def _caller(twin: Twin, deal: Deal, party: str) -> str:
    who = {"creator": deal.record.creator, "provider": deal.record.provider}.get(party, twin.traces.keeper)
    return twin.traces.keeper if who == twin.traces.client else who


def _push(twin: Twin, deal: Deal, party: str) -> None:
    """The next step that the party can take by itself, once it is due."""
    model, id_, who = twin.model, deal.record.id, _caller(twin, deal, party)
    limits, now = model.deals.parameters, model.clock.time
    if deal.status == Status.AGREED:
        if party == "provider" and now <= deal.deadline:
            return _must(twin, Step("submit", who, (id_, twin.traces.commitment(deal))))
        _wait_until(twin, deal.deadline + 1)
        return _must(twin, Step("timeout_submit", who, (id_,)))
    if deal.status == Status.IN_MEDIATION:
        _wait_until(twin, deal.deadline + 1)
        return _must(twin, Step("timeout_mediation", who, (id_,)))
    found = model.deals.lottery(deal)
    if found == Lottery.PENDING:
        return _know(twin, deal.period + 1)
    if found.draws:
        _wait_until(twin, deal.deadline + limits.mediation_limit + 1)
        return _must(twin, Step("timeout_mediation", who, (id_,)))
    if party == "provider" and now <= deal.deadline + limits.reveal_window and deal.commitment == twin.traces.commitment(deal):
        _wait_until(twin, deal.deadline + 1)
        return _must(twin, Step("settle", who, (id_, twin.traces.result(deal), Agreement.NONE, True)))
    _wait_until(twin, deal.deadline + limits.reveal_window + 1)
    return _must(twin, Step("timeout_reveal", who, (id_,)))


def _know(twin: Twin, period: int) -> None:
    """Waits for a period and its seed."""
    ahead = period * PERIOD_BLOCKS - twin.model.clock.block
    if ahead > 0:
        _must(twin, Step("wait", twin.traces.keeper, (ahead, ahead)))
    if period not in twin.model.clock.seeds:
        _must(twin, twin.traces.seed(period))


# ---- the drain


def drain(twin: Twin) -> None:
    """Everybody takes out all there is; what stays is what the funds hold and what was sent past the ledger."""
    model, keeper = twin.model, twin.traces.keeper
    for deal in model.deals.all.values():
        dispute = model.mediation.of(deal.record.id)
        if deal.record.strategy == model.places.mediation and deal.kind != DisputeKind.NONE and not (dispute and dispute.over):
            _must(twin, Step("unwind", keeper, (deal.record.id,)))
    for terms, pool in model.stakes.values():
        _empty(twin, terms, pool)
    _collect(twin)
    for (token, account), amount in list(model.ledger.free.items()):
        if amount:
            _must(twin, Step("withdraw", account, (token, keeper, amount)))
    model.check()
    twin.compare_all()
    _nothing_left(twin)


def _empty(twin: Twin, terms: PoolTerms, pool: PoolModel) -> None:
    """Rounds that nobody wants take their turn; then every stake leaves."""
    keeper, clock = twin.traces.keeper, twin.model.clock
    for who, member in list(pool.members.items()):
        if member.staked:
            _must(twin, Step("unbond", who, (terms, member.staked)))
    _wait_until(twin, clock.time + pool.unbonding_time + 1)
    for _ in range(4 * len(pool.tickets) + 4):
        front = pool.front()
        if front == len(pool.tickets):
            break
        _know(twin, pool.period_of(front))
        _must(twin, Step("draw_cancelled", keeper, (terms, front)))
    _must(twin, Step("apply_pending", keeper, (terms, 300)))
    for who, member in list(pool.members.items()):
        if member.unbonding:
            _must(twin, Step("withdraw_stake", keeper, (terms, who)))
    if pool.held or pool.drawn or pool.capacity:
        raise twin.difference(f"inv:I6: a pool keeps {pool.held}, {pool.drawn} seats, weights of {pool.capacity}")


def _collect(twin: Twin) -> None:
    model, traces = twin.model, twin.traces
    places = {deal.accrual: deal.record.pair.module for deal in model.deals.all.values()}
    for place, module in places.items():
        _must(twin, Step("sweep", traces.keeper, (place,)))
        _must(twin, Step("claim_royalty", module.royalty_to, (place, module)))
        _must(twin, Step("claim_solver_fee", traces.keeper, (place,)))
    for deal in model.deals.all.values():
        if min(deal.owed, model.ledger.funds[deal.accrual.fund]):
            _must(twin, Step("repay_advance", traces.keeper, (deal.record.id,)))


def _nothing_left(twin: Twin) -> None:
    ledger, places = twin.model.ledger, twin.model.places
    left = {key: amount for part in (ledger.free, ledger.locked) for key, amount in part.items() if amount}
    waiting = [parts for part in (ledger.accrued, ledger.fees) for parts in part.values() if any(parts)]
    if left or waiting:
        raise twin.difference(f"inv:I6: something is left: {left} {waiting}")
    for token in twin.site.tokens:
        funds = sum(amount for (_, t, _), amount in ledger.funds.items() if t == token)
        for contract, expected in ((places.core, funds), (places.staking, 0), (places.mediation, 0)):
            name = {places.core: "core", places.staking: "staking", places.mediation: "mediation"}[contract]
            found = twin.site.evm.attempt(twin.traces.keeper, token, twin.site.balance_question(contract))[1]
            if int.from_bytes(found, "big") != expected + ledger.gifts[token, contract]:
                raise twin.difference(f"inv:I6: {name} keeps tokens that belong to nobody")

