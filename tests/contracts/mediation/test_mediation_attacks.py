"""Attacks on disputes, each played to its end: what the attacker has afterwards, and what it cost everybody else."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from lilypad_agents.protocol.ids import ZERO, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from lilypad_agents.protocol.mediation import VOTE_UNAVAILABLE, Phase, SeatState, vote_commitment
from lilypad_agents.protocol.price import premium_of
from tests.support.evm import Halted, Reverted, expect_revert
from tests.support.panels import (
    BROKEN,
    DATA_ID,
    NEVER,
    NO_SEATING,
    RIGHT,
    SECRET,
    UNAVAILABLE,
    WRONG,
    WRONG2,
    Case,
    Court,
    build_court,
)
from tests.support.world import COIN

S = 1_000 * COIN


# ---- votes


@pytest.mark.parametrize("withheld", [tuple(subset) for subset in product((False, True), repeat=3) if any(subset)])
def test_t16__withholding_reveals_steers_nothing_and_costs_the_share(court: Court, withheld: tuple[bool, ...]) -> None:
    """inv:T16 beh:D15: every subset of a panel that would confirm withholds. The rest rules while it is a majority, else nobody's
    fault; each that withheld loses a quarter of its stake, 180 times the fee it gave up here."""
    case = court.challenged().seat()
    case.vote(*[SECRET if hides else RIGHT for hides in withheld])
    _, division = case.execute()
    left = 3 - sum(withheld)
    assert case.status == (Status.MEDIATION_ACCEPTED if left > 1 else Status.NO_FAULT)
    assert [loss for _, loss in division.losses] == [S // 4 if hides else 0 for hides in withheld]
    assert S // 4 > case.deal.seat_fee


def test_t17__a_copied_commitment_cannot_be_revealed(court: Court) -> None:
    """inv:T17 beh:D14: the copier learns vote and salt when they are revealed, and still has nothing to reveal."""
    case = court.challenged()
    while len(set(case.seating.accounts if case.seatings else ())) < 2:
        case = court.challenged().seat()
    author = 0
    copier = next(seat for seat in range(3) if case.seating.accounts[seat] != case.seating.accounts[author])
    rest = 3 - author - copier
    copied = case.commit(author, RIGHT).event("Committed")["commitment"]
    court.mediation.commit(case.deal_id, case.seating.argument, copier, copied, sender=case.mediator(copier))
    case.commit(rest, RIGHT)
    case.open()
    case.reveal(author, RIGHT)
    with expect_revert("VoteMismatch", seat=copier, committed=copied):
        court.mediation.reveal(
            case.deal_id, case.seating.argument, copier, case.digest, case.salt(author), True, sender=case.mediator(copier)
        )
    case.reveal(rest, RIGHT)
    case.pass_deadline()
    _, division = case.execute()
    assert division.losses[copier][1] == S // 4


def test_t17__a_vote_of_one_round_or_deal_cannot_be_revealed_in_another(court: Court) -> None:
    """inv:T17 inv:I34: the commitment names deal, round and account."""
    case = court.challenged().seat()
    account, salt = case.seating.accounts[0], case.salt(0)
    for deal_id, number in ((case.deal_id, 2), (keccak256(b"another deal"), 1)):
        with court.evm.snapshot():
            foreign = vote_commitment(deal_id, number, account, case.digest, salt)
            court.mediation.commit(case.deal_id, case.seating.argument, 0, foreign, sender=case.mediator(0))
            case.commit(1, RIGHT)
            case.commit(2, RIGHT)
            case.open()
            with expect_revert("VoteMismatch"):
                court.mediation.reveal(
                    case.deal_id, case.seating.argument, 0, case.digest, salt, True, sender=case.mediator(0)
                )
            case.seatings[-1] = replace(case.seating, opened=ZERO)


def test_t20__an_opening_leaked_before_the_commits_gives_no_seat_to_the_lazy(court: Court) -> None:
    """inv:T20: whoever knows the opening can vote for it; a wrong result confirmed so still meets the seats that ran it.

    One lazy seat of three follows the leak: it loses its whole stake, 727 times its fee.
    """
    case = court.challenged().seat()
    case.vote(RIGHT, WRONG, WRONG)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert division.losses[0] == (case.seating.accounts[0], S)
    assert 64 * case.deal.seat_fee <= 10 * S


def test_t20__nobody_but_the_provider_names_the_data(court: Court) -> None:
    """inv:T20: a leaked or copied opening carried by others, with other data, would make the provider look absent."""
    case = court.challenged().seat()
    case.commit_all(RIGHT, RIGHT, RIGHT)
    bogus = keccak256(b"bogus")
    for attacker in (court.world.creator, case.mediator(0), court.world.challenger):
        with expect_revert("ProviderOnly"):
            court.mediation.open(case.deal_id, case.seating.argument, case.result, bogus, sender=attacker)
    assert case.open().event("ResultOpened")["dataId"] == DATA_ID


# ---- providers and creators


def test_t22__demanding_checks_costs_their_price(court: Court) -> None:
    """inv:T22 beh:D5: what a challenge costs, by what came of it. Only a right one is worth it."""
    gains = {}
    for name, choices in {"wrong": (WRONG,) * 3, "right": (RIGHT,) * 3, "broken": (BROKEN,) * 3}.items():
        before = court.world.free(court.world.challenger)
        case = court.challenged().seat()
        case.vote(*choices)
        case.execute()
        gains[name] = court.world.free(court.world.challenger) - before
    fee = case.deal.seat_fee
    assert gains == {"wrong": case.deal.collateral // 20, "right": -3 * fee, "broken": -3 * fee}


def test_t23__a_garbage_commitment_in_the_last_second__cannot_be_opened_and_loses_all(court: Court) -> None:
    """inv:T23 beh:D28: the judge window begins with the submission; a commitment to nothing has no opening."""
    w = court.world
    deal, deal_id = w.open()
    w.pass_to(w.state(deal).deadline)
    w.core.submitResult(deal_id, 12345, sender=w.provider)
    assert w.state(deal).deadline == court.evm.timestamp + deal.judge_window
    case = Case(court, deal, deal_id, w.result(deal), w.creator)
    w.resolver.challenge(deal.words, sender=w.creator)
    before = w.free(w.creator)
    case.seat()
    case.commit_all(UNAVAILABLE, RIGHT, RIGHT)
    with expect_revert("OpeningMismatch"):
        case.open()
    case.pass_deadline()
    case.reveal_all(UNAVAILABLE, RIGHT, RIGHT)
    case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert w.free(w.creator) > before + deal.value


def test_t23__data_withheld_from_creator_and_panel__loses_the_deal(court: Court) -> None:
    """inv:T23 beh:C10: extorting a waiver with withheld data ends worse than delivering."""
    w = court.world
    case = court.delivery_challenged().seat()
    provider = w.free(w.provider) + w.locked(w.provider)
    case.vote(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    case.execute()
    assert case.status == Status.TIMED_OUT
    assert w.free(w.provider) + w.locked(w.provider) < provider - case.deal.value


@pytest.mark.parametrize("choices", [(WRONG, WRONG2, RIGHT), ("w3", WRONG2, WRONG), (BROKEN, BROKEN, BROKEN)])
def test_t24__hidden_randomness_in_a_module_slashes_nobody_and_marks_it(court: Court, choices: tuple[str, ...]) -> None:
    """inv:T24 inv:T59 beh:D4 beh:D8: honest runs disagree; provider and seats keep what they staked, the attacker its loss."""
    w = court.world
    case = court.challenged(by=w.creator)
    attacker, provider = w.free(w.creator) + w.locked(w.creator), w.free(w.provider) + w.locked(w.provider)
    case.seat()
    case.vote(*choices)
    receipt, division = case.execute()
    assert case.status == Status.NO_FAULT and receipt.event("VersionMarked")["count"] == 1
    assert {loss for _, loss in division.losses} == {0}
    assert w.free(w.provider) + w.locked(w.provider) == provider
    assert w.free(w.creator) + w.locked(w.creator) == attacker - premium_of(case.deal)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_t25__mediators_that_die_cost_the_provider_nothing(court: Court, missing: int) -> None:
    """inv:T25 flt:F34 beh:D9: silent seats are replaced, and if these die too, nobody is found at fault."""
    w = court.world
    case = court.challenged().seat()
    collateral = w.free(w.provider) + w.locked(w.provider)
    case.vote(*[RIGHT] * (3 - missing), *[NEVER] * missing)
    case.execute()
    assert case.status == (Status.MEDIATION_ACCEPTED if missing == 1 else Status.NO_FAULT)
    assert w.free(w.provider) + w.locked(w.provider) >= collateral


def test_t33__a_deal_has_one_dispute_at_a_time_and_one_about_its_result(court: Court) -> None:
    """inv:T33: no second challenge until a friendly panel sits; the seats of a round are drawn once."""
    w = court.world
    case = court.challenged()
    with expect_revert("DealNotIn"):
        w.resolver.challenge(case.deal.words, sender=w.challenger)
    case.seat()
    with expect_revert("PhaseWrong"):
        court.mediation.draw(case.deal.words, court.pool, case.seating.argument)
    with expect_revert("PhaseWrong"):
        case.queue()
    case.vote(RIGHT, RIGHT, RIGHT)
    case.execute()
    with expect_revert("DealNotIn"):
        w.resolver.challenge(case.deal.words, sender=w.challenger)


def test_t34__last_second_play_at_every_step__leaves_everybody_a_whole_window(court: Court) -> None:
    """inv:T34 beh:E10: commit, opening, reveal and appeal each in their last second."""
    w, payer = court.world, court.rich("payer")
    case = court.challenged().seat()
    pool = court.pool

    def wait_for_the_last_second(window: int) -> None:
        _, deadline, _ = case.now()
        assert deadline - court.evm.timestamp == window
        w.pass_to(deadline)

    wait_for_the_last_second(pool.commit_window)
    for seat in range(3):
        case.commit(seat, RIGHT)
    wait_for_the_last_second(pool.reveal_window)
    case.open()
    wait_for_the_last_second(pool.reveal_window)
    for seat in range(3):
        case.reveal(seat, RIGHT)
    wait_for_the_last_second(pool.appeal_window)
    case.appeal(payer)
    case.seat()
    wait_for_the_last_second(pool.commit_window)


@pytest.mark.parametrize("first", ["creator", "challenger"])
def test_t36__of_two_challengers_in_one_block_the_second_pays_nothing(court: Court, first: str) -> None:
    """inv:T36: the first valid one stands; the copy reverts whole."""
    w = court.world
    names = (first, "challenger" if first == "creator" else "creator")
    case = court.submitted()
    people = [getattr(w, name) for name in names]
    before = [w.free(person) for person in people]
    w.resolver.challenge(case.deal.words, sender=people[0])
    with expect_revert("DealNotIn"):
        w.resolver.challenge(case.deal.words, sender=people[1])
    assert [a - w.free(p) for a, p in zip(before, people, strict=True)] == [3 * case.deal.seat_fee, 0]


# ---- the contract itself


def test_t42__a_token_that_re_enters_changes_nothing_but_its_own_pool(court: Court) -> None:
    """inv:T42 inv:T1: in the middle of an appeal, the one place where a token is called, it tries everything else."""
    w, evm = court.world, court.evm
    token = evm.deploy("HookToken")
    pool = replace(court.pool, token=token.address, note=keccak256(b"hooks"))
    honest = court.challenged()
    standard, original = w.pool, w.token
    w.pool, w.token = pool, token
    try:
        for person in (w.creator, w.provider, w.challenger):
            w.deposit(person, 100_000 * COIN)
        w.deposit(w.keeper, 1_000 * COIN)
        w.core.donate(court.mediation, token, PoolId(pool.id), 1_000 * COIN, sender=w.keeper)
        for person in court.mediators:
            court.stake(person, 20)
        job = {"token": token.address}
        case = court.challenged(job=job, resource=job).seat()
        case.vote(RIGHT, RIGHT, RIGHT)
        payer = court.rich("payer")
        given = [seating.argument for seating in case.seatings]
        hooks = [
            (court.mediation.address, court.mediation.calldata("execute", case.deal.words, pool, given, case.result)),
            (court.mediation.address, court.mediation.calldata("appeal", case.deal.words, pool, case.seating.argument)),
            (court.mediation.address, court.mediation.calldata("draw", case.deal.words, pool, NO_SEATING)),
            (court.mediation.address, court.mediation.calldata("queue", honest.deal.words, standard, NO_SEATING)),
            (court.mediation.address, court.mediation.calldata("unwind", case.deal.words, pool, given)),
        ]
        token.arm(hooks)
        case.appeal(payer)
        endings = token.endings()
        assert len(endings) == 2 * len(hooks) and not any(ok for ok, _ in endings)
        token.arm([])
        assert case.word.phase == Phase.QUEUED and case.word.number == 2
        case.seat().vote(*[RIGHT] * 7)
        case.execute()
        assert w.free(court.mediation) == 0
    finally:
        w.pool, w.token = standard, original
    assert court.credit() == 3 * honest.deal.seat_fee
    assert honest.word is None


def test_t42__records_and_pools_of_other_strategies_reach_nothing_here(court: Court) -> None:
    """inv:T42 inv:T49: a pool that names another strategy has no business here, whatever its terms."""
    w = court.world
    puppet = court.evm.deploy("FriendlyStrategy")
    foreign = replace(court.pool, strategy=puppet.address)
    w.deposit(w.keeper, 1_000 * COIN)
    w.core.donate(puppet, w.token, PoolId(foreign.id), 1_000 * COIN, sender=w.keeper)
    case = court.challenged(pool=foreign)
    honest = court.challenged()
    for call in ("queue", "draw", "appeal"):
        with expect_revert("StrategyNotThis", strategy=puppet):
            court.mediation.method(call)(case.deal.words, foreign, NO_SEATING)
    with expect_revert("StrategyNotThis"):
        court.mediation.execute(case.deal.words, foreign, [], case.result)
    with expect_revert("StrategyNotThis"):
        court.mediation.unwind(case.deal.words, foreign, [])
    assert court.credit() == 3 * honest.deal.seat_fee


def test_t50__nobody_leaves_a_dispute_or_a_drawn_deal_by_another_door(court: Court) -> None:
    """inv:T50 beh:D20 beh:D22: accepting, waiving, closing, letting time pass: each is refused, and the collateral stays."""
    w = court.world
    drawn, disputed = court.submitted(), court.challenged()
    w.set_seed(drawn.deal, drawn=True)
    for case, error in ((drawn, "DealDrawn"), (disputed, "DealNotIn")):
        doors = [
            lambda case=case: w.settle(case.deal, case.result, Agreement.ACCEPTANCE),
            lambda case=case: w.settle(case.deal, case.result, Agreement.WAIVER),
            lambda case=case: w.close(case.deal, 1, 1),
        ]
        for door in doors:
            with expect_revert(error):
                door()
    w.pass_to(w.state(drawn.deal).deadline + 31)
    with expect_revert("DealDrawn"):
        w.resolver.timeoutReveal(drawn.deal.words)
    for case in (drawn, disputed):
        with expect_revert("DeadlineAhead"):
            w.resolver.timeoutMediation(case.deal.words)
    assert w.locked(w.provider) == drawn.deal.collateral + disputed.deal.collateral
    disputed.seat().vote(RIGHT, RIGHT, RIGHT)
    assert w.locked(w.provider) == drawn.deal.collateral + disputed.deal.collateral, "until the verdict is executed"
    disputed.execute()
    assert w.locked(w.provider) == drawn.deal.collateral


def test_t53__inputs_withheld_from_a_provider_win_the_creator_one_percent(court: Court) -> None:
    """inv:T53: the provider declines; a panel never sits, and a dispute needs a result."""
    w = court.world
    pair = w.pair()
    deal, deal_id = w.open(pair)
    before = w.free(w.creator) + w.locked(w.creator)
    with expect_revert("DealNotIn"):
        w.resolver.challenge(deal.words, sender=w.creator)
    w.resolver.decline(deal.words, pair.job.words(), sender=w.provider)
    assert w.free(w.creator) + w.locked(w.creator) - before == deal.value // 100
    with expect_revert("NotInDispute"):
        court.mediation.queue(deal.words, court.pool, NO_SEATING)


def test_t54__parties_named_after_the_draw_change_nothing(court: Court) -> None:
    """inv:T54: who may not sit is fixed by the record; another record is another deal, and a seat's account stays seated."""
    case = court.challenged()
    case.queue()
    court.next_seed()
    for party in ("solver", "publisher"):
        renamed = replace(case.deal, **{party: court.mediators[0].address})
        with expect_revert("NotInDispute"):
            court.mediation.draw(renamed.words, court.pool, NO_SEATING)
    case.draw()
    case.commit_all(RIGHT, RIGHT, RIGHT)
    assert case.word.seats == (SeatState.COMMITTED,) * 3


@pytest.mark.parametrize("withheld_from", [1, 2])
def test_t56__serving_the_panel_but_not_the_lone_seat_slashes_nobody_honest(court: Court, withheld_from: int) -> None:
    """inv:T56: a word on availability keeps its stake; withheld twice, the provider pays the panel that it then served."""
    case = court.audited().seat()
    lone = []
    for _ in range(withheld_from):
        case.vote(UNAVAILABLE)
        lone.append(case.seating.accounts[0])
        case.seat()
    if withheld_from == 1:
        case.vote(RIGHT)
        case.seat()
    case.vote(*[RIGHT] * len(case.seating.accounts))
    _, division = case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED
    assert {loss for _, loss in division.losses} == {0}
    assert division.claim == (3 * case.deal.seat_fee if withheld_from == 2 else 0)
    assert len(lone) == withheld_from


def test_t56__withheld_from_the_panel_and_served_to_the_appeal__costs_the_same(court: Court) -> None:
    """inv:T56: also when it takes an appeal to find everything served."""
    payer = court.rich("payer")
    case = court.audited().seat()
    case.vote(UNAVAILABLE)
    case.seat().vote(UNAVAILABLE)
    case.seat().vote(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    case.appeal(payer)
    case.seat().vote(*[RIGHT] * 7)
    _, division = case.execute()
    fee, keepers = case.deal.seat_fee, case.deal.seat_fee // 50
    assert case.status == Status.MEDIATION_ACCEPTED and division.claim == 3 * fee
    assert {loss for _, loss in division.losses} == {0}
    pot = 4 * (fee - keepers) + 3 * fee  # unearned fees of five seats at four fees, and the claim
    assert court.world.free(payer) == min(7 * fee, pot)


@pytest.mark.parametrize("silent", ["seats", "keepers", "provider"])
def test_t58__whoever_keeps_silent__the_dispute_ends_in_time(court: Court, silent: str) -> None:
    """inv:T58 beh:E4 beh:D26: seats that never act, nobody who calls anything, a provider that never opens."""
    case = court.challenged()
    if silent == "keepers":
        case.pass_last_call()
    else:
        case.seat()
        case.vote(*[NEVER if silent == "seats" else RIGHT] * 3, opens=False)
    case.execute()
    assert case.status == (Status.MEDIATION_REJECTED if silent == "provider" else Status.NO_FAULT)
    assert court.credit() == 0


# ---- bad days


def test_bad_day__all_seats_absent_twice(court: Court) -> None:
    """inv:I39: six quarters of a stake go to the fund, less what redrawing cost; nobody else pays for it."""
    w = court.world
    case = court.challenged()
    fund, challenger = w.fund(), w.free(w.challenger)
    case.seat().vote(NEVER, NEVER, NEVER)
    _, division = case.execute()
    fee, keepers = case.deal.seat_fee, case.deal.seat_fee // 50
    assert case.status == Status.NO_FAULT and court.credit() == 0
    assert division.lost == 6 * (S // 4) - keepers
    assert w.fund() - fund == 6 * (S // 4) - keepers + premium_of(case.deal)
    assert w.free(w.challenger) - challenger == 3 * fee - 3 * keepers


def test_bad_day__a_pool_of_one_mediator() -> None:
    """One account sits on all three seats, and commits and reveals for each."""
    court = build_court(mediators=1, seats_each=3)
    case = court.challenged().seat()
    assert set(case.seating.accounts) == {court.mediators[0].address}
    case.vote(RIGHT, RIGHT, RIGHT)
    case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED and court.credit() == 0


def test_bad_day__a_pool_without_mediators() -> None:
    """beh:E3: no round can ever sit; after the last call everything goes back."""
    court = build_court(mediators=0)
    before = court.world.free(court.world.challenger)
    case = court.challenged()
    with expect_revert("SeatsUnavailable", capacity=0):
        case.queue()
    with expect_revert("PhaseWrong", found=Phase.NONE, needed=Phase.EXECUTABLE):
        case.execute()
    case.pass_last_call()
    case.execute()
    assert case.status == Status.NO_FAULT
    assert court.world.free(court.world.challenger) == before and court.credit() == 0


def test_bad_day__an_empty_fund_opens_no_deal(court: Court) -> None:
    """beh:D23: what the fund could not audit does not open."""
    w = court.world
    empty = replace(court.pool, note=keccak256(b"empty"))
    with expect_revert("TermBelow", found=0):
        w.open(pool=empty)


def test_bad_day__an_appeal_in_the_last_second_before_the_last_call(court: Court) -> None:
    """It is taken, cannot be drawn any more, and comes back whole."""
    w, payer = court.world, court.rich("payer")
    case = court.challenged()
    last = w.state(case.deal).deadline - 60
    w.pass_to(last - 8)
    case.seat().vote(WRONG, WRONG, WRONG)
    w.pass_to(last)
    assert case.phase == Phase.APPEALABLE
    case.appeal(payer)
    w.pass_to(last + 1)
    with expect_revert("LastCallPassed"):
        case.draw()
    case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert w.free(payer) == 7 * case.deal.seat_fee and court.credit() == 0


def test_bad_day__two_hundred_and_one_bytes_of_nonsense(court: Court) -> None:
    """Calldata that is no call of this contract moves nothing."""
    case = court.challenged()
    for data in (b"", b"\xff" * 4, b"\x00" * 201, court.mediation.calldata("queue", case.deal.words, court.pool, NO_SEATING)[:-33]):
        with pytest.raises((Reverted, Halted)):
            court.evm.transact(court.mediation.address, data)
    assert case.word is None and court.credit() == 3 * case.deal.seat_fee


def test_lone_seat_of_a_hostile_minority__cannot_condemn(court: Court) -> None:
    """beh:D27: a lone seat that claims another digest brings a panel, and loses its stake to it."""
    case = court.audited().seat()
    case.vote(WRONG)
    case.pass_last_call()
    _, division = case.execute()
    assert case.status == Status.NO_FAULT, "no panel sat in time: its word alone does not stand"
    assert division.lost == 0 and case.kind == DisputeKind.AUDIT


def test_d17__every_vote_is_evidence(court: Court) -> None:
    """beh:D17: the events hold each seat's own digest, whatever came of it."""
    case = court.challenged().seat()
    case.commit_all(RIGHT, WRONG, UNAVAILABLE)
    case.open()
    votes = [case.reveal(seat, choice).event("Revealed")["vote"] for seat, choice in enumerate((RIGHT, WRONG, UNAVAILABLE))]
    assert votes == [case.digest, keccak256(WRONG.encode()), VOTE_UNAVAILABLE]
