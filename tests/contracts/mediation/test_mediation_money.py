"""Who has how much more and less after a dispute, to the wei, in figures that the twin did not compute.

f: a seat's fee; k: the keepers' part of it (2 %, rounded down); s: a seat's stake. Odd prices, so that everything rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import charge, locked_total, premium_of
from tests.support.evm import expect_revert
from tests.support.panels import (
    BROKEN,
    CANNOT_RUN,
    NEVER,
    RIGHT,
    SECRET,
    UNAVAILABLE,
    UNSERVED,
    WRONG,
    WRONG2,
    Case,
    Court,
)
from tests.support.world import COIN, PERIOD_BLOCKS

ODD = {"resource": {"price": COIN + 7}}
S = 1_000 * COIN


class Sheet:
    """What everybody gained since it was made, free and locked together, the stakes of seats apart."""

    def __init__(self, case: Case) -> None:
        self.case, self.before = case, self._now(case)

    @staticmethod
    def _now(case: Case) -> dict[str, int]:
        ledger = case.world.ledger(case.deal)
        named = {name: ledger[name] + ledger.get(f"{name} locked", 0) for name in ledger if not name.endswith("locked")}
        free = {person.name: case.world.free(person) for person in case.court.mediators}
        stakes = {f"stake {p.name}": case.court.staking.stakeOf(case.court.pool.id, p)[0] for p in case.court.mediators}
        return named | free | stakes

    def __getitem__(self, name: str) -> int:
        return self._now(self.case)[name] - self.before[name]

    def seats(self, *indices: int, of: int = -1) -> int:
        """What the accounts of these seats were paid in all."""
        accounts = {self.case.seatings[of].accounts[seat] for seat in indices}
        return sum(self[person.name] for person in self.case.court.mediators if person.address in accounts)

    @property
    def stakes(self) -> int:
        return sum(self[f"stake {person.name}"] for person in self.case.court.mediators)

    @property
    def mediators(self) -> int:
        return sum(self[person.name] for person in self.case.court.mediators)


def _parts(case: Case) -> tuple[int, int]:
    fee = case.deal.seat_fee
    keepers = fee * 200 // 10_000
    assert fee * 200 % 10_000, "the fee of this test does not round"
    return fee, keepers


def _end(case: Case, *choices: str, **options: bool) -> Sheet:
    sheet = Sheet(case)
    case.vote(*choices, **options)
    case.execute()
    assert case.court.credit() == 0
    return sheet


def _paid(case: Case) -> tuple[int, int, int]:
    """What creator, provider and fund (with waiting fees) gain from a paid deal over what is locked."""
    due = charge(case.deal, 3, 100)
    locked = locked_total(case.deal, 100)
    return -locked + (locked - due.total), due.gross, due.to_fund


# ---- challenges


def test_challenge__that_was_wrong__has_paid_the_panel(court: Court) -> None:
    """beh:D5 inv:T22: whoever demands a check without reason pays for it; nobody else does."""
    case = court.challenged(**ODD).seat()
    fee, keepers = _parts(case)
    drawer = 3 * keepers // 3
    sheet = _end(case, RIGHT, RIGHT, RIGHT)
    creator, provider, fund = _paid(case)
    assert (sheet["creator"], sheet["provider"], sheet["fund"]) == (creator, provider, fund)
    assert sheet["challenger"] == 0, "its three fees left it before the sheet began"
    assert sheet.mediators == 3 * (fee - keepers)
    assert sheet["keeper"] == 3 * keepers - drawer
    assert sheet.stakes == 0


def test_challenge__that_was_right__gets_its_fee_back_and_a_bounty__out_of_the_collateral(court: Court) -> None:
    """beh:D5 beh:D7 inv:I44: in the order of 6.7; the creator is whole first."""
    case = court.challenged(**ODD).seat()
    fee, keepers = _parts(case)
    sheet = _end(case, WRONG, WRONG, WRONG)
    deal = case.deal
    assert sheet["creator"] == deal.value
    assert sheet["provider"] == -deal.collateral
    assert sheet["challenger"] == 3 * fee + deal.collateral // 20
    assert sheet.mediators == 3 * (fee - keepers)
    left = deal.collateral - premium_of(deal) - deal.value - 3 * fee - deal.collateral // 20
    assert sheet["fund"] == premium_of(deal) + left


def test_challenge__that_was_right__is_repaid_by_who_voted_wrong_before_the_collateral_is_asked(court: Court) -> None:
    """beh:D16: the contradicted seat loses its stake, and the claim is only what is then missing: nothing."""
    case = court.challenged(**ODD).seat()
    fee, keepers = _parts(case)
    sheet = Sheet(case)
    case.vote(WRONG, WRONG, RIGHT)
    _, division = case.execute()
    deal = case.deal
    assert division.claim == 0 and sheet.stakes == -S
    assert sheet["challenger"] == 3 * fee + deal.collateral // 20
    pot = S + 3 * fee - 2 * (fee - keepers) - 3 * keepers
    slashed = deal.collateral - deal.value - deal.collateral // 20
    assert sheet["fund"] == slashed + pot - 3 * fee
    assert court.credit() == 0


def test_challenge__after_the_draw__earns_its_fee_only(court: Court) -> None:
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    court.world.resolver.challenge(case.deal.words, sender=court.world.challenger)
    case.beginner = court.world.challenger
    case.seat()
    fee, _ = _parts(case)
    sheet = _end(case, WRONG, WRONG, WRONG)
    assert sheet["challenger"] == 3 * fee


@pytest.mark.parametrize("choices, lost", [
    ((RIGHT, RIGHT, UNAVAILABLE), 0),
    ((RIGHT, RIGHT, UNSERVED), 0),
    ((RIGHT, RIGHT, BROKEN), 0),
    ((RIGHT, RIGHT, CANNOT_RUN), 0),
    ((RIGHT, RIGHT, SECRET), S // 4),
    ((RIGHT, RIGHT, WRONG), S),
    ((UNAVAILABLE, UNAVAILABLE, RIGHT), 0),
    ((UNAVAILABLE, UNSERVED, WRONG), 0),
    ((WRONG, WRONG, UNSERVED), S),
    ((WRONG, WRONG, WRONG2), S),
    ((WRONG, WRONG, UNAVAILABLE), 0),
    ((BROKEN, BROKEN, WRONG), 0),
    ((WRONG, WRONG2, RIGHT), 0),
    ((CANNOT_RUN, CANNOT_RUN, SECRET), S // 4),
])  # fmt: skip
def test_seat__loses_its_stake_for_a_contradicted_digest_only__a_quarter_for_absence(
    court: Court, choices: tuple[str, ...], lost: int
) -> None:
    """beh:D9 beh:D16 inv:I9 inv:I34 inv:I39: words on availability cost the fee at most; no fault slashes absence only."""
    case = court.challenged(**ODD).seat()
    sheet = Sheet(case)
    case.vote(*choices)
    _, division = case.execute()
    assert (division.lost, sheet.stakes) == (lost, -lost)
    assert all(loss <= S for _, loss in division.losses) and len(division.losses) == 3


# ---- audits


def test_audit__confirmed_by_the_lone_seat__costs_the_fund_one_fee(court: Court) -> None:
    """beh:D27: three of the four fees return."""
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    case.beginner = auditor = court.evm.account("auditor")
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=auditor)
    case.seat().vote(RIGHT)
    case.execute()
    fee, keepers = _parts(case)
    assert sheet["fund"] == _paid(case)[2] - fee
    assert sheet.mediators == fee - keepers
    third = keepers // 3
    assert court.world.free(auditor) == third
    assert sheet["keeper"] == keepers - third, "a third as drawer, the rest as executor: the remainder is its"


def test_audit__whose_lone_seat_was_wrong__is_paid_by_that_seat(court: Court) -> None:
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(WRONG)
    case.seat().vote(RIGHT, RIGHT, RIGHT)
    _, division = case.execute()
    fee, keepers = _parts(case)
    assert sheet.stakes == -S and division.claim == 0
    assert sheet["fund"] == _paid(case)[2] - 4 * fee + S + fee - keepers
    assert sheet["provider"] == _paid(case)[1], "a seat's failure never costs the provider"


def test_audit__refused_inputs_to_two_lone_seats_and_served_a_panel__the_provider_pays_the_panel(court: Court) -> None:
    """beh:D27 inv:T56: withhold, then serve: the honest seats keep their stakes, the provider pays three fees."""
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(UNAVAILABLE)
    case.seat().vote(UNAVAILABLE)
    case.seat().vote(RIGHT, RIGHT, RIGHT)
    _, division = case.execute()
    fee, keepers = _parts(case)
    assert division.claim == 3 * fee and case.status == Status.MEDIATION_ACCEPTED
    assert sheet["provider"] == _paid(case)[1] - 3 * fee
    assert sheet["fund"] == _paid(case)[2] - keepers, "it gets all back but what keepers got of the lone seat's fee"
    assert sheet.stakes == 0


def test_audit__refused_inputs_to_everybody__pays_both_lone_seats(court: Court) -> None:
    """beh:D28: five seats at four fees: the collateral adds what is missing."""
    case = court.audited(**ODD).seat()
    sheet = Sheet(case)
    case.vote(UNAVAILABLE)
    case.seat().vote(UNAVAILABLE)
    case.seat().vote(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    _, division = case.execute()
    fee, keepers = _parts(case)
    assert case.status == Status.MEDIATION_REJECTED
    assert sheet.mediators == 5 * (fee - keepers)
    assert division.claim == fee - keepers


def test_audit__after_a_lost_seed__costs_the_provider_what_was_used(court: Court) -> None:
    """inv:T51: whatever the verdict; what nobody needed returns to it."""
    case = court.submitted(**ODD)
    court.world.lose_seed(case.deal)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(RIGHT)
    case.execute()
    fee, _ = _parts(case)
    assert sheet["provider"] == _paid(case)[1] - fee
    assert sheet["fund"] == _paid(case)[2]


def test_audit__after_a_lost_seed__found_wrong__loses_all(court: Court) -> None:
    case = court.submitted(**ODD)
    court.world.lose_seed(case.deal)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(RIGHT, opens=False)
    case.execute()
    fee, _ = _parts(case)
    assert sheet["provider"] == -case.deal.collateral
    assert sheet["fund"] == case.deal.collateral - case.deal.value - fee


def test_audit__advanced_by_its_caller__is_repaid_once(court: Court) -> None:
    """beh:D19 beh:D23: an empty fund: anyone can pay, and gets it back from what the dispute returns."""
    w = court.world
    rich, poor = w.pool, replace(w.pool, note=b"\1" * 32)
    w.deposit(w.keeper, 6 * COIN)
    w.core.donate(court.mediation, w.token, poor.id, 6 * COIN, sender=w.keeper)
    for person in court.mediators:
        court.stake(person, 5, poor)
    w.pool = poor
    try:
        first = court.submitted()
        court.evm.mine(PERIOD_BLOCKS)
        second = court.submitted()
        for case in (first, second):
            w.set_seed(case.deal, drawn=True)
        w.resolver.audit(first.deal.words, 0, sender=w.keeper)
        short = 4 * second.deal.seat_fee - w.fund()
        with expect_revert("FundShort", needed=4 * second.deal.seat_fee):
            w.resolver.audit(second.deal.words, short - 1, sender=w.challenger)
        before = w.free(w.challenger)
        w.resolver.audit(second.deal.words, short, sender=w.challenger)
        second.beginner = w.challenger
        second.seat().vote(RIGHT)
        second.execute()
        w.resolver.repayAdvance(second.deal.words)
        assert w.fund() == 0 and w.free(w.challenger) < before, "the fund reached for a part of it"
        first.beginner = w.keeper
        first.seat().vote(RIGHT)
        first.execute()
        w.resolver.repayAdvance(second.deal.words)
        assert w.free(w.challenger) - before == second.deal.seat_fee * 200 // 10_000 // 3
        with expect_revert("AdvanceNotDue"):
            w.resolver.repayAdvance(second.deal.words)
    finally:
        w.pool = rich


# ---- no fault


@pytest.mark.parametrize("choices, revealed", [
    ((WRONG, WRONG2, RIGHT), 3), ((BROKEN, BROKEN, RIGHT), 3), ((RIGHT, SECRET, SECRET), 1), ((CANNOT_RUN, SECRET, SECRET), 1),
])  # fmt: skip
def test_no_fault__pays_who_revealed__and_returns_the_rest_to_the_challenger(
    court: Court, choices: tuple[str, ...], revealed: int
) -> None:
    """beh:D8 inv:I39: creator refunded less the premium, collateral back, absence alone is slashed, and goes to the fund."""
    case = court.challenged(**ODD).seat()
    fee, keepers = _parts(case)
    sheet = _end(case, *choices)
    premium = premium_of(case.deal)
    assert case.status == Status.NO_FAULT
    assert (sheet["creator"], sheet["provider"]) == (-premium, 0)
    assert sheet["challenger"] == 3 * fee - 3 * keepers - revealed * (fee - keepers)
    assert sheet.mediators == revealed * (fee - keepers)
    assert sheet["fund"] == premium + (3 - revealed) * (S // 4)


def test_no_fault__of_an_audit__returns_the_rest_to_the_fund(court: Court) -> None:
    """The first of two lone seats is paid as far as four fees reach: not at all when four others revealed."""
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(UNAVAILABLE)
    case.seat().vote(BROKEN)
    case.seat().vote(BROKEN, BROKEN, BROKEN)
    receipt, _ = case.execute()
    fee, keepers = _parts(case)
    assert sheet.mediators == 4 * (fee - keepers)
    assert sheet["fund"] == premium_of(case.deal) - 4 * fee
    assert court.mediation.marksOf(case.deal.module) == receipt.event("VersionMarked")["count"] == 1


def test_no_fault__of_an_audit_in_which_few_revealed__pays_the_seat_that_was_replaced(court: Court) -> None:
    """beh:D8: the first lone seat, out of what the four fees still hold; the rest goes back to the fund."""
    case = court.submitted(**ODD)
    court.world.set_seed(case.deal, drawn=True)
    case.beginner = court.world.keeper
    sheet = Sheet(case)
    court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
    case.seat().vote(UNAVAILABLE)
    first = case.seatings[0].accounts[0]
    case.seat().vote(BROKEN)
    case.seat().vote(BROKEN, SECRET, SECRET)
    _, division = case.execute()
    fee, keepers = _parts(case)
    assert case.status == Status.NO_FAULT
    assert sum(amount for account, amount in division.payments if account == first) >= fee - keepers
    assert sheet.mediators == 3 * (fee - keepers)


@pytest.mark.parametrize("choices, marks", [((WRONG, WRONG2, RIGHT), 1), ((BROKEN, BROKEN, RIGHT), 1),
                                            ((CANNOT_RUN, CANNOT_RUN, RIGHT), 0), ((RIGHT, SECRET, SECRET), 0),
                                            ((RIGHT, RIGHT, RIGHT), 0)])  # fmt: skip
def test_version__is_marked_when_runs_disagree_or_it_does_not_run(
    court: Court, choices: tuple[str, ...], marks: int
) -> None:
    """beh:D8: not when seats were missing, or could not run it themselves."""
    case = court.challenged().seat()
    case.vote(*choices)
    receipt, division = case.execute()
    assert court.mediation.marksOf(case.deal.module) == marks
    assert len(receipt.events("VersionMarked")) == marks
    assert [event["amount"] for event in receipt.events("FundDonated")] == [division.to_fund] * (division.to_fund > 0)
    lost = sum(loss for _, loss in division.losses)
    moved = [event["amount"] for event in receipt.events("CreditTransferred")]
    assert moved == [lost] * (lost > 0) + [amount for _, amount in division.payments]


# ---- ends without a verdict


def test_unwind__before_the_end_or_without_a_dispute__is_refused(court: Court) -> None:
    case = court.challenged().seat()
    given = [seating.argument for seating in case.seatings]
    with expect_revert("DealNotEnded"):
        court.mediation.unwind(case.deal.words, court.pool, given)
    peaceful = court.submitted()
    court.world.set_seed(peaceful.deal, drawn=False)
    with expect_revert("DealNotEnded"):
        court.mediation.unwind(peaceful.deal.words, court.pool, [])
    court.world.pass_to(court.world.state(peaceful.deal).deadline + 1)
    court.world.settle(peaceful.deal, peaceful.result)
    with expect_revert("NothingToUnwind"):
        court.mediation.unwind(peaceful.deal.words, court.pool, [])
    assert court.credit() == 3 * case.deal.seat_fee - 3 * (case.deal.seat_fee // 50) // 3


_UNSEEN: dict[str, Callable[[Court], Case]] = {
    "challenge": lambda court: court.challenged(),
    "delivery": lambda court: court.delivery_challenged(),
    "audit": lambda court: court.audited(),
    "lost seed": lambda court: court.audited(lost_seed=True),
}


@pytest.mark.parametrize("begin", _UNSEEN)
@pytest.mark.parametrize("timed_out", [False, True])
def test_dispute__that_nobody_brought_here__returns_all_to_who_paid(court: Court, begin: str, timed_out: bool) -> None:
    """beh:A4 beh:E3: no call was made; after the last call, or after the deal ended, every unit still has its owner."""
    w = court.world
    payer = {"challenge": w.challenger, "delivery": w.creator, "audit": None, "lost seed": w.provider}[begin]
    case = _UNSEEN[begin](court)
    sheet = Sheet(case)
    held = court.credit()
    assert held == (4 if "audit" in begin or begin == "lost seed" else 3) * (
        case.deal.seat_floor if begin == "delivery" else case.deal.seat_fee
    )
    if timed_out:
        case.pass_mediation()
        w.resolver.timeoutMediation(case.deal.words, sender=w.keeper)
        case.unwind()
        with expect_revert("NothingToUnwind"):
            court.mediation.unwind(case.deal.words, court.pool, [])
    else:
        case.pass_last_call()
        case.execute()
    assert court.credit() == 0
    premium = 0 if begin == "delivery" and not timed_out else premium_of(case.deal)
    back = {name: held if payer is not None and payer.name == name else 0 for name in ("challenger", "creator", "provider")}
    back["creator"] -= premium
    assert {name: sheet[name] for name in back} == back
    assert sheet["fund"] == premium + (held if payer is None else 0)
    if begin == "delivery" and not timed_out:
        assert case.status == Status.RESULTS_SUBMITTED, "nothing was shown against the provider"


def test_unwind__of_a_drawn_round__ends_the_locks(court: Court) -> None:
    """beh:G4: seats of a dispute that timed out are free again, and whoever did its work in a tallied round is paid."""
    case = court.challenged(**ODD).seat()
    case.vote(RIGHT, RIGHT, NEVER)
    assert sum(court.staking.stakeOf(court.pool.id, person)[3] for person in court.mediators) == 3
    case.pass_mediation()
    court.world.resolver.timeoutMediation(case.deal.words, sender=court.world.keeper)
    sheet = Sheet(case)
    receipt, _ = case.unwind()
    assert receipt.event("DisputeUnwound") == {"dealId": case.deal_id, "keeper": court.world.keeper.address}
    assert sum(court.staking.stakeOf(court.pool.id, person)[3] for person in court.mediators) == 0
    fee, keepers = _parts(case)
    assert sheet.mediators == 2 * (fee - keepers)
    assert sheet["challenger"] == 3 * fee - 3 * keepers - 2 * (fee - keepers)
    assert court.credit() == 0


def test_execute__needs_all_seatings_in_their_order(court: Court) -> None:
    unseen = court.challenged()
    case = court.audited().seat()
    case.vote(WRONG)
    case.seat().vote(RIGHT, RIGHT, RIGHT)
    case.to_execution()
    given = [seating.argument for seating in case.seatings]
    for wrong in ([], given[:1], given + given[:1]):
        with expect_revert("SeatingsIncomplete", found=len(wrong), needed=2):
            court.mediation.execute(case.deal.words, court.pool, wrong, case.result)
    with expect_revert("SeatingMismatch", round=0):
        court.mediation.execute(case.deal.words, court.pool, given[::-1], case.result)
    with expect_revert("SeatingsIncomplete", found=1, needed=0):
        court.mediation.execute(unseen.deal.words, court.pool, given[:1], unseen.result)
    case.execute()
