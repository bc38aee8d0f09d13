"""Seeds that bonded participants make: who takes part, what a secret costs that is kept back, and what it cannot buy."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from eth_utils import keccak

from lilypad_agents.chain.deployment_plan import PRESETS, delay_of_seeds, life_of_seeds, overridden
from tests.support.evm import Account, Evm, expect_revert
from tests.support.seed_sources import EXPIRED, KNOWN, PENDING, ByParticipants, commitment, secret_of

NAME = "CommitRevealRandomness"
BOND = ByParticipants.BOND


@pytest.fixture
def source() -> ByParticipants:
    source = ByParticipants()
    source.begin(source.period - 1)
    return source


def expected_seed(source: ByParticipants, people: list[Account]) -> bytes:
    """By the formula of the contract, in Python."""
    mix = 0
    for account in people:
        secret = secret_of(account, source.period)
        mix ^= int.from_bytes(keccak(commitment(source.evm, source.contract, source.period, account, secret) + secret))
    words = (source.evm.chain_id, int(source.contract.address, 16), source.period, mix)
    return keccak(b"".join(word.to_bytes(32, "big") for word in words))


def all_commit(source: ByParticipants, people: list[Account] | None = None) -> None:
    for account in people or source.people:
        source.commit(source.period, account)


def to_reveals(source: ByParticipants) -> None:
    source.at(source.contract.revealStart(source.period))


# ---- committing


@pytest.mark.parametrize("ahead", [-1, 0, 2, 100])
def test_commit__for_any_but_the_next_period__is_refused(source: ByParticipants, ahead: int) -> None:
    """inv:T15: a sequencer that holds a commitment back makes it fail, and takes no bond."""
    ann, period = source.people[0], source.period - 1 + ahead
    with expect_revert("PeriodNotNext", period=period, next=source.period):
        source.commit(period, ann)
    assert source.evm.balance(source.contract) == 0


def test_commit__at_the_last_second_of_the_period_before__counts_and_one_later_not(source: ByParticipants) -> None:
    """inv:I12: once the period runs, nobody adds to its seed."""
    ann, ben = source.people[:2]
    source.at(source.period * source.PERIOD - 1)
    source.commit(source.period, ann)
    source.begin(source.period)
    with expect_revert("PeriodNotNext", period=source.period, next=source.period + 1):
        source.commit(source.period, ben)
    assert tuple(source.contract.participantsOf(source.period)) == (1, 0)


def test_commit__without_a_whole_bond__is_refused(source: ByParticipants) -> None:
    ann = source.people[0]
    data = keccak(b"anything")
    with expect_revert("BondMissing", account=ann, has=BOND - 1, needed=BOND):
        source.contract.commit(source.period, data, sender=ann, value=BOND - 1)
    source.contract.deposit(sender=ann, value=BOND - 1)
    with expect_revert("BondMissing", account=ann, has=BOND - 1, needed=BOND):
        source.contract.commit(source.period, data, sender=ann)
    source.contract.commit(source.period, data, sender=ann, value=1)
    assert source.contract.freeBondOf(ann) == 0


def test_commit__twice_or_to_nothing__is_refused(source: ByParticipants) -> None:
    ann = source.people[0]
    with expect_revert("CommitmentEmpty"):
        source.contract.commit(source.period, bytes(32), sender=ann, value=BOND)
    source.commit(source.period, ann)
    with expect_revert("CommittedBefore", period=source.period, account=ann):
        source.contract.commit(source.period, keccak(b"better"), sender=ann, value=BOND)


def test_commit__each__locks_a_bond_of_its_own(source: ByParticipants) -> None:
    """inv:T16: one bond never backs two secrets that could be kept back."""
    ann = source.people[0]
    source.commit(source.period, ann)
    source.begin(source.period)
    next_one = commitment(source.evm, source.contract, source.period + 1, ann, secret_of(ann, source.period + 1))
    with expect_revert("BondMissing", account=ann, has=0, needed=BOND):
        source.contract.commit(source.period + 1, next_one, sender=ann)


# ---- revealing


def test_reveal__around_its_window__is_refused_to_the_second(source: ByParticipants) -> None:
    """inv:I12: the first second and the last one count."""
    all_commit(source)
    start, end = source.contract.revealStart(source.period), source.contract.revealEnd(source.period)
    assert (start, end) == (source.period * 60 + 5, source.period * 60 + 35)
    ann, ben, cem = source.people
    source.at(start - 1)
    with expect_revert("RevealTooEarly", period=source.period, start=start, time=start - 1):
        source.reveal(source.period, ann)
    source.at(start)
    source.reveal(source.period, ann)
    source.at(end)
    source.reveal(source.period, ben)
    assert source.status(source.period) == (PENDING, bytes(32))
    source.at(end + 1)
    with expect_revert("RevealTooLate", period=source.period, end=end, time=end + 1):
        source.reveal(source.period, cem)
    assert source.status(source.period) == (EXPIRED, bytes(32))


def test_reveal__another_secret_or_account_or_again__is_refused(source: ByParticipants) -> None:
    """inv:T15: a commitment that was copied from another account cannot be opened; a secret is fixed."""
    ann, ben, cem = source.people
    source.commit(source.period, ann)
    copied = source.contract.commitmentOf(source.period, ann)
    source.contract.commit(source.period, copied, sender=ben, value=BOND)
    to_reveals(source)
    secret = secret_of(ann, source.period)
    for account, word in ((ann, keccak(secret)), (ben, secret), (cem, secret)):
        with expect_revert("CommitmentUnknown", period=source.period, account=account):
            source.contract.reveal(source.period, account, word, sender=ann)
    source.reveal(source.period, ann)
    with expect_revert("CommitmentUnknown", period=source.period, account=ann, needed=bytes(32)):
        source.reveal(source.period, ann)
    assert tuple(source.contract.participantsOf(source.period)) == (2, 1)


def test_reveal__by_anyone__gives_the_bond_back_to_its_owner(source: ByParticipants) -> None:
    """inv:I32"""
    all_commit(source)
    to_reveals(source)
    carrier = source.evm.account("carrier")
    for account in source.people:
        receipt = source.reveal(source.period, account, by=carrier)
        assert receipt.event("Revealed")["account"].lower() == account.address.lower()
        assert source.contract.freeBondOf(account) == BOND
    assert source.contract.freeBondOf(carrier) == 0


def test_reveal__any_order__gives_the_same_seed(source: ByParticipants) -> None:
    """inv:I32 inv:T15: who is last has no choice but to be silent."""
    all_commit(source)
    to_reveals(source)
    expected = expected_seed(source, source.people)
    for order in permutations(source.people):
        with source.evm.snapshot():
            events = [source.reveal(source.period, account).events("SeedRecorded") for account in order]
            assert [len(found) for found in events] == [0, 0, 1]
            assert events[-1][0]["seed"] == expected
            assert source.status(source.period) == (KNOWN, expected)


# ---- keeping secrets back


@pytest.mark.parametrize("silent", [names for size in range(5) for names in combinations(range(4), size)], ids=str)
def test_reveal__any_subset_withholds__loses_its_bonds_and_spares_nobody(
    source: ByParticipants, silent: tuple[int, ...]
) -> None:
    """inv:T16 inv:T15: no subset can choose between two seeds; the others get their bonds, and the next period works."""
    people = [*source.people, source.evm.account("dan")]
    all_commit(source, people)
    to_reveals(source)
    for index, account in enumerate(people):
        if index not in silent:
            assert source.status(source.period) == (PENDING, bytes(32))
            source.reveal(source.period, account)
    # All the while until the end nothing but Pending: not even the ones who know the rest see another seed.
    status = (PENDING, bytes(32)) if silent else (KNOWN, expected_seed(source, people))
    assert source.status(source.period) == status
    source.at(source.contract.revealEnd(source.period) + 1)
    assert source.status(source.period) == ((EXPIRED, bytes(32)) if silent else status)
    for index, account in enumerate(people):
        assert source.contract.freeBondOf(account) == (0 if index in silent else BOND)
        if index in silent:
            with expect_revert("BondMissing", account=account, has=0, needed=BOND):
                source.contract.withdraw(BOND, sender=account)
        else:
            source.contract.withdraw(BOND, sender=account)
    assert source.evm.balance(source.contract) == BOND * len(silent)
    for index in silent:
        if len(silent) < len(people):
            with expect_revert("OthersRevealed", period=source.period, revealed=len(people) - len(silent)):
                source.contract.reclaim(source.period, people[index])
    following = source.contract.currentPeriod() + 1
    for account in people[:2]:
        source.commit(following, account)
    source.at(source.contract.revealStart(following))
    for account in people[:2]:
        source.reveal(following, account)
    assert source.status(following)[0] == KNOWN


def test_seed__too_few_take_part__is_lost_when_the_period_begins(source: ByParticipants) -> None:
    """inv:T51 flt:F16: a single one would choose; nobody at all would be a constant."""
    ann = source.people[0]
    source.commit(source.period, ann)
    assert source.status(source.period) == (PENDING, bytes(32))
    source.begin(source.period)
    assert source.status(source.period) == (EXPIRED, bytes(32))
    to_reveals(source)
    source.reveal(source.period, ann)
    assert source.contract.freeBondOf(ann) == BOND, "it did what it promised"
    assert source.status(source.period) == (EXPIRED, bytes(32))
    source.begin(source.period + 1)
    assert source.status(source.period + 1) == (EXPIRED, bytes(32)), "nobody at all"


def test_reclaim__nobody_revealed__gives_each_bond_back_once_and_leaves_the_seed_lost(source: ByParticipants) -> None:
    """inv:T16: the chain stood still; whoever kept all others out gains no other seed and no bond of theirs."""
    all_commit(source)
    end = source.contract.revealEnd(source.period)
    ann, ben, cem = source.people
    source.at(end)
    with expect_revert("RevealsNotOver", period=source.period, end=end, time=end):
        source.contract.reclaim(source.period, ann)
    source.at(end + 1)
    for account in (ann, ben):
        source.contract.reclaim(source.period, account, sender=source.evm.account("anyone"))
        assert source.contract.freeBondOf(account) == BOND
        with expect_revert("NothingToReclaim", period=source.period, account=account):
            source.contract.reclaim(source.period, account)
    with expect_revert("RevealTooLate"):
        source.reveal(source.period, cem)
    with expect_revert("NothingToReclaim"):
        source.contract.reclaim(source.period, source.evm.account("anyone"))
    assert source.status(source.period) == (EXPIRED, bytes(32))
    assert source.evm.balance(source.contract) == 3 * BOND


def test_commit__many_accounts__cost_each_the_same(source: ByParticipants) -> None:
    """inv:I18: nothing loops over participants, so nobody can be kept out and nobody pays for the others."""
    people = [source.evm.account(f"person {number}") for number in range(40)]
    commits = [source.commit(source.period, account).gas_used for account in people]
    to_reveals(source)
    reveals = [source.reveal(source.period, account).gas_used for account in people]
    assert max(commits[1:]) <= commits[1] and max(reveals[1:-1]) <= reveals[1] + 100
    assert source.status(source.period) == (KNOWN, expected_seed(source, people))


# ---- bonds


def test_withdraw__more_than_is_free__is_refused(source: ByParticipants) -> None:
    ann, ben = source.people[:2]
    source.contract.deposit(sender=ben, value=5 * BOND)
    source.contract.deposit(sender=ann, value=BOND)
    with expect_revert("BondMissing", account=ann, has=BOND, needed=BOND + 1):
        source.contract.withdraw(BOND + 1, sender=ann)
    before = source.evm.balance(ann)
    receipt = source.contract.withdraw(BOND, sender=ann)
    assert receipt.event("BondWithdrawn")["amount"] == BOND
    assert source.evm.balance(ann) - before == BOND
    assert source.evm.balance(source.contract) == 5 * BOND


def test_withdraw__again_while_being_paid__takes_nothing_of_others(source: ByParticipants) -> None:
    """inv:T42"""
    ben = source.people[1]
    source.contract.deposit(sender=ben, value=5 * BOND)
    thief = source.evm.deploy("BondThief", source.contract, value=BOND)
    thief.steal(BOND, False)
    assert (thief.attempts(), source.evm.balance(thief)) == (1, BOND)
    assert source.evm.balance(source.contract) == source.contract.freeBondOf(ben) == 5 * BOND
    with expect_revert("WithdrawalRefused", account=thief, amount=BOND):
        thief.steal(BOND, True)
    assert source.evm.balance(thief) == BOND


def test_construction__parameters_without_sense__are_refused() -> None:
    evm = Evm()
    for arguments in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with expect_revert("TimesInvalid"):
            evm.deploy(NAME, *arguments, 2, 1)
    with expect_revert("ParticipantsTooFew", found=1, least=2):
        evm.deploy(NAME, 60, 5, 30, 1, 1)
    with expect_revert("BondZero"):
        evm.deploy(NAME, 60, 5, 30, 2, 0)


@pytest.mark.parametrize("times", [(60, 5, 30), (3_600, 120, 1_500), (2**32 - 1,) * 3])
def test_times__any_parameters__equal_their_twins(times: tuple[int, int, int]) -> None:
    """inv:T43"""
    contract = Evm().deploy(NAME, *times, 2, 1)
    names = dict(zip(("periodSeconds", "lookaheadSeconds", "revealSeconds"), map(str, times), strict=True))
    parameters = overridden(PRESETS["production"], {"randomness": "commit-reveal"} | names)
    assert contract.lifetime() == life_of_seeds(parameters, True)
    assert contract.delay() == delay_of_seeds(parameters)
