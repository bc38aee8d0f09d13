"""`lilypad job appeal`: a creator whose panel confirmed a wrong result pays for seven seats, and gets it back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.appealing import Appealing
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.wallet import Wallet
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Finding
from lilypad_agents.protocol.price import locked_total
from tests.agents.mediator.court import SEAT_FEE, Case, Court, wrong

FEE = 7 * SEAT_FEE


def appealing(court: Court, case: Case, folder: Path) -> Appealing:
    """The command's work, for the court's creator."""
    chain = CreatorChain(court.network.rpc, AddressBook.load(court.network.book_path))
    wallet = Wallet(chain, court.creator, folder / "wallet", folder / "locks")
    (folder / "wallet").mkdir(parents=True, exist_ok=True)
    session = SimpleNamespace(chain=chain, wallet=wallet, account=wallet.account, token=Token(court.network.token, "LILY", 18))
    job: Any = SimpleNamespace(deal=case.id, record=case.deal, pool=court.pool, opened_block=0, deal_text="the deal", name="it", id="0x01")
    return Appealing(SimpleNamespace(session=session), job)  # type: ignore[arg-type]


def give(court: Court, amount: int) -> None:
    court.network.send(0, "LilypadToken", "transfer", court.creator.address, amount)


def test_appeal__by_the_creator_of_a_captured_panel__turns_it_and_is_paid_back(court: Court, tmp_path: Path) -> None:
    """beh:D16 beh:D18 beh:J17 Before there is a finding, without the money, with it; and the wallet's allowance is used up."""
    liar = court.mediator(seats=40)
    case = court.submitted("captured", change=wrong)
    work = appealing(court, case, tmp_path)
    with pytest.raises(RequestInvalid, match="RESULTS_SUBMITTED"):
        work.plan()
    court.override(liar, case, round_=1, vote=case.opened.digest)
    court.challenge(case)
    with pytest.raises(RequestInvalid, match="appeal window only"):
        work.plan()
    court.until(lambda: len(court.events("Committed", case)) == 3, answers=[case])
    court.mediator(seats=200)
    court.until(lambda: bool(court.events("Tallied", case)), answers=[case])

    held = int(court.network.contracts["LilypadToken"].call("balanceOf", court.creator.address))
    if held < FEE:
        with pytest.raises(InsufficientFunds, match="from your wallet"):
            work.plan()
    give(court, FEE)
    plan = work.plan()
    assert (plan.round, plan.fee, plan.finding, plan.helps) == (2, FEE, Finding.CONFIRMED, True)
    assert "7 seats would judge anew for 8.75 LILY" in plan.lines(work.creator.session.token)[0]
    done = work.carry_out(plan)
    assert done.as_json(work.creator.session.token)["fee"] == "8.75"
    token = court.network.contracts["LilypadToken"]
    assert int(token.call("balanceOf", court.creator.address)) == held
    assert int(token.call("allowance", court.creator.address, court.mediation.address)) == 0

    free = court.network.free(court.creator.address)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_REJECTED
    locked = locked_total(case.deal, work.creator.session.chain.parameters.protocol_fee_bps)
    assert court.network.free(court.creator.address) - free == locked + case.deal.value + FEE
    with pytest.raises(RequestInvalid, match="MEDIATION_REJECTED"):
        work.plan()
