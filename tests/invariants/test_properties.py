"""Properties that no rule of the model states by itself, and that each of their checks can fail.

inv:I7 inv:I8 inv:I10 inv:I14 inv:I15 inv:I16 inv:I19 inv:I20 inv:I21 inv:I26 inv:I32 inv:I35 inv:I43 inv:I44

`test_reference_model` looks at them around the steps of all its histories; here is what needs a state of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from lilypad_agents.protocol.lifecycle import Status
from tests.reference.chain import COIN, Site, build_site
from tests.reference.deals import Deal
from tests.reference.ledger import Refused
from tests.reference.properties import Broken, check_history, check_step, look
from tests.reference.protocol import Protocol, Step
from tests.reference.traces import Traces

# Calls that anybody may make, with signatures where they need any; the caller may earn by them, and nothing else may differ.
_ANYBODY = {
    "open", "open_batch", "submit_signed", "settle_batch", "timeout_submit", "timeout_reveal", "timeout_mediation", "close", "repay_advance",
    "queue", "draw", "advance", "execute", "unwind", "sweep", "claim_solver_fee", "withdraw_stake", "apply_pending", "draw_cancelled",
    "deliver_failure", "deliver_unopened",
}  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site()


@pytest.mark.parametrize("seed", range(900_000, 900_010))
def test_call_of_anybody__by_two_strangers__differs_by_what_they_earn_alone(site: Site, seed: int) -> None:
    """inv:I20 inv:I32: whom nobody knows are interchangeable, down to the unit."""
    model = deepcopy(site.base)
    traces = Traces(site, model, seed)
    strangers = ("0x" + "01" * 20, "0x" + "02" * 20)
    compared = 0
    for _ in range(350):
        step = traces.next()
        if step.call in _ANYBODY:
            outcomes = [_by(stranger, step, model, swapped=strangers[::-1][n]) for n, stranger in enumerate(strangers)]
            assert outcomes[0] == outcomes[1], step.call
            compared += 1
        try:
            model.take(step)
        except Refused:
            pass
    assert compared > 50


def _by(stranger: str, step: Step, model: Protocol, swapped: str) -> tuple[str | None, dict[object, int], dict[bytes, object]]:
    """What comes of it: the error, balances with the stranger under one name, and all deals."""
    copy = deepcopy(model)
    try:
        copy.take(step._replace(who=stranger))
        error = None
    except Refused as refused:
        error = refused.args[0]
    seen = look(copy)
    wealth = {(token, "stranger" if account == stranger else account): n for (token, account), n in seen.wealth.items() if account != swapped and n}
    deals = {id_: (deal.status, deal.deadline, deal.kind, deal.owed) for id_, deal in copy.deals.all.items()}
    return error, wealth | {fund: n for fund, n in seen.funds.items() if n}, deals


# ---- each check can fail


def _ended(model: Protocol, status: Status) -> Deal:
    deal = next(iter(model.deals.all.values()))
    deal.status = status
    return deal


def _stranger(model: Protocol) -> tuple[str, str]:
    """The account of somebody who has nothing to do with the deal."""
    record = next(iter(model.deals.all.values())).record
    return next(key for key, amount in model.ledger.free.items() if amount and key[1] not in (record.creator, record.provider))


_CRIMES: dict[str, tuple[str, Callable[[Protocol], None]]] = {
    "inv:I8": ("sweep", lambda model: model.ledger.free.update({_stranger(model): 5})),
    "inv:I19": ("revoke", lambda model: model.ledger.free.update({next(iter(model.ledger.free)): 10**30})),
    "inv:I26": ("sweep", lambda model: setattr(next(iter(model.deals.all.values())), "deadline", 7)),
    "inv:I43": ("settle", lambda model: None if _ended(model, Status.ACCEPTED) else None),
    "inv:I44": ("execute", lambda model: model.ledger.funds.update({_ended(model, Status.MEDIATION_REJECTED).accrual.fund: 10**30})),
}


@pytest.mark.parametrize("invariant", _CRIMES)
def test_step__that_breaks_a_property__is_noticed(site: Site, invariant: str) -> None:
    model = _with_deal(site)
    call, crime = _CRIMES[invariant]
    before = look(model)
    crime(model)
    with pytest.raises(Broken, match=invariant):
        check_step(before, model, Step(call, site.address("solver"), (next(iter(model.deals.all)),)))


@pytest.mark.parametrize("invariant", ["inv:I15", "inv:I16", "inv:I21"])
def test_history__that_breaks_a_property__is_noticed(site: Site, invariant: str) -> None:
    model = _with_deal(site)
    id_, deal = next(iter(model.deals.all.items()))
    check_history(model)
    if invariant == "inv:I21":
        model.deals.all = {bytes(32): deal}
        model.deals.endings[bytes(32)] = 0
    else:
        twice = deal.record.pair
        if invariant == "inv:I15":
            twice = twice._replace(job=twice.job._replace(nonce=99))
        else:
            twice = twice._replace(resource=twice.resource._replace(nonce=99))
        other = Deal(model.deals.record(twice._replace(job=twice.job._replace(inputs=b"\7" * 32))), Status.AGREED, deal.deadline)
        model.deals.all[other.record.id] = other
    with pytest.raises(Broken, match=invariant):
        check_history(model)


def _with_deal(site: Site) -> Protocol:
    """A deal in the first pool, whose offer served as often as it may."""
    for seed in range(100):
        model = deepcopy(site.base)
        traces = Traces(site, model, seed)
        pair = traces._job(traces._resource(), site.address("eve"))
        pair = pair._replace(resource=pair.resource._replace(volume=1))
        if pair.pool.id != site.pools[0].id or pair.resource.price > 3 * COIN:
            continue
        try:
            model.take(Step("open", site.address("keeper"), ((pair,),)))
            return model
        except Refused:
            continue
    raise AssertionError("no pair opened")
