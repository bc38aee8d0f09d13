"""Replaying the events of random histories rebuilds every balance, deal, stake, seat and request. inv:I28, beh:A5, beh:B14"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.reference.chain import Site, build_site
from tests.reference.ending import alone, drain
from tests.reference.reader import Reader
from tests.reference.twin import Twin

HISTORIES = 8
STEPS = 400
_MONEY_EVENTS = {
    "Deposited", "Withdrawn", "CreditTransferred", "FundDonated", "AccrualSwept", "RoyaltyClaimed", "SolverFeeClaimed", "DealOpened",
    "DealAccepted", "DealMediationAccepted", "DealDeclined", "DealTimedOut", "DealClosed", "DealMediationRejected", "DealNoFault",
    "DisputeOpened", "Staked", "UnbondingRequested", "StakeWithdrawn", "SeatReleased", "RoundDrawn",
}  # fmt: skip
_seen: set[str] = set()


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site()


@pytest.mark.parametrize("seed", range(700_000, 700_000 + HISTORIES))
def test_replay__of_a_random_history__rebuilds_everything(site: Site, seed: int) -> None:
    """In the middle of the history, and after the drain."""
    _replay(site, seed)


def test_replays__together__saw_every_event_that_moves_money(site: Site) -> None:
    """Alone it plays some of its own."""
    for seed in range(710_000, 710_000 + HISTORIES):
        if not _MONEY_EVENTS <= _seen:
            _replay(site, seed)
    assert _MONEY_EVENTS <= _seen


def _replay(site: Site, seed: int) -> None:
    with site.evm.snapshot():
        twin = Twin(site, seed)
        twin.reader = Reader(site.names, twin.model.deals.parameters.protocol_fee_bps)
        twin.reader.read(site.founding, twin.model.clock.time)
        twin.run(STEPS)
        _compare(twin, twin.reader)
        alone(twin, "anybody")
        drain(twin)
        _compare(twin, twin.reader)
        _seen.update(twin.reader.events)


def _compare(twin: Twin, reader: Reader) -> None:
    """The reader against the model, which was compared with the contracts' storage after each step."""
    model, ledger = twin.model, twin.model.ledger
    for part in ("free", "locked", "funds", "fees", "accrued", "held"):
        assert _filled(getattr(reader.ledger, part)) == _filled(getattr(ledger, part)), part
    assert reader.ledger.floors == ledger.floors
    assert reader.ledger.cancelled == ledger.cancelled
    assert reader.ledger.delegates == ledger.delegates
    assert set(reader.deals) == set(model.deals.all)
    for deal_id, deal in model.deals.all.items():
        facts = (deal.status, deal.deadline, deal.kind, deal.delivery_challenged, deal.period, deal.commitment, deal.beginner, deal.owed)
        assert reader.deals[deal_id].facts == facts
    for terms, pool in model.stakes.values():
        for who, m in pool.members.items():
            stake = reader.stakes.get((terms.id, who))
            found = (stake.staked, stake.unbonding, stake.until, stake.open_seats) if stake else (0, 0, 0, 0)
            assert found == (m.staked, m.unbonding, m.until, m.drawn - m.released)
    for deal_id, dispute in model.mediation.disputes.items():
        last = dispute.last
        if not dispute.over and last.is_drawn and last.phase.name not in ("QUEUED", "DUE"):
            assert reader.seats[deal_id][last.number] == list(zip(last.accounts, last.seats, strict=True))
    requests = {request_id: (request.state.name, int(request.outcome)) for request_id, request in model.jobs.requests.items()}
    assert reader.requests == requests


def _filled(amounts: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: amount for key, amount in amounts.items() if (any(amount) if isinstance(amount, list) else amount)}
