"""Royalties: accrued in the real core, claimed here, divided to the wei. beh:G11 inv:I13"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.terms import name_hash
from tests.support.evm import Account, expect_revert
from tests.support.registry import Market, Version
from tests.support.world import World


def shares(amount: int, bps: Sequence[int]) -> list[int]:
    """What each level keeps, youngest first: every share is rounded down, the rest stays below."""
    kept = []
    for share in bps:
        passed_on = amount * share // 10_000
        kept.append(amount - passed_on)
        amount = passed_on
        if not amount:
            return kept
    return [*kept, amount]


def line_of(market: Market, bps: Sequence[int]) -> list[Version]:
    """A line of forks, youngest first, each of another author; `bps` are the shares that the forks give, youngest first."""
    line: list[Version] = []
    for depth, share in enumerate([0, *reversed(bps)]):
        author = market.account(f"author-{depth}")
        parent = line[0] if line else None
        line.insert(0, market.published(author, f"level-{depth}", parent=parent, parent_share_bps=share))
    return line


def authors(market: Market, line: Sequence[Version]) -> list[Account]:
    return [market.account(f"author-{depth}") for depth in reversed(range(len(line)))]


def test_claim__original__pays_its_owner_everything(market: Market, author: Account) -> None:
    version = market.published(author)
    royalty = market.earn(version.terms, 10**18 + 9)
    receipt = market.claim([version], sender=market.account("anybody"))
    assert receipt.value == royalty == market.free(author)
    paid = receipt.event("RoyaltyPaid")
    assert (paid["earner"], paid["to"], paid["token"], paid["amount"]) == (
        version.id,
        author.address,
        market.token.address,
        royalty,
    )
    assert market.free(market.modules.address) == 0


def test_claim__five_levels_of_forks__splits_exactly(market: Market) -> None:
    """beh:G11: by hand, with amounts that do not divide."""
    bps = [3_333, 5_000, 1, 9_999, 2_500]
    line = line_of(market, bps)
    royalty = market.earn(line[0].terms, 10**18 + 12_345_677)
    expected = shares(royalty, bps)
    receipt = market.claim(line)
    assert sum(expected) == royalty and len(expected) == 6
    assert [market.free(account) for account in authors(market, line)] == expected
    names = [market.modules.nameIdOf(author, f"level-{5 - level}") for level, author in enumerate(authors(market, line))]
    assert [(event["name"], event["amount"]) for event in receipt.events("RoyaltyPaid")] == list(zip(names, expected))
    assert market.free(market.modules.address) == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gross=st.integers(10, 10**22),
    bps=st.lists(st.one_of(st.integers(0, 10_000), st.sampled_from([0, 1, 9_999, 10_000])), max_size=5),
)
def test_claim__any_amount_and_shares__adds_up_to_the_wei(market: Market, gross: int, bps: list[int]) -> None:
    """beh:G11 beh:A2 inv:I1: what was claimed is what was credited, level by level, and nothing stays behind."""
    with market.evm.snapshot():
        line = line_of(market, bps)
        royalty = market.earn(line[0].terms, gross)
        expected = shares(royalty, bps) if royalty else []
        payees, amounts = market.modules.splitOf([item.terms for item in line], royalty)
        assert list(amounts) == expected
        held = market.core.heldOf(market.token)
        assert market.claim(line).value == royalty
        credited = [market.free(account) for account in authors(market, line)]
        assert credited == expected + [0] * (len(line) - len(expected))
        assert list(payees) == [account.address for account in authors(market, line)][: len(expected)]
        assert market.core.heldOf(market.token) == held
        assert market.free(market.modules.address) == 0


def test_claim__dust__stays_with_the_youngest(market: Market) -> None:
    """beh:A4: one wei cannot be divided; the walk up ends where nothing is left to pass on."""
    line = line_of(market, [9_999, 9_999])
    assert list(market.modules.splitOf([line[0].terms], 1).amounts) == [1]
    assert list(market.modules.splitOf([line[0].terms, line[1].terms], 2).amounts) == [1, 1]


def test_claim__all_given_away__skips_the_giver_with_zero(market: Market) -> None:
    line = line_of(market, [10_000])
    royalty = market.earn(line[0].terms, 10**18)
    market.claim(line)
    assert [market.free(account) for account in authors(market, line)] == [0, royalty]


def test_claim__several_solvers_and_tokens__each_pays_once(market: Market, author: Account) -> None:
    """beh:A5: royalties accrue per token, version and solver; what is claimed twice is paid once."""
    other = market.evm.deploy("PlainToken", "Other", 6)
    for party in (market.creator, market.provider):
        market.fund(party, 10**15, other)
    solver = market.account("solver")
    version = market.published(author)
    sums = [
        market.earn(version.terms, 10**18),
        market.earn(version.terms, 3 * 10**18 + 3, solver=solver),
        market.earn(version.terms, 777_777, token=other),
    ]
    assert market.claim([version], [NOBODY, solver, NOBODY, rivals_solver(market)]).value == sums[0] + sums[1]
    assert market.claim([version], [NOBODY], token=other).value == sums[2]
    assert (market.free(author), market.free(author, other)) == (sums[0] + sums[1], sums[2])
    assert market.claim([version], [NOBODY, solver]).value == 0


def rivals_solver(market: Market) -> Account:
    return market.account("a solver that earned nothing")


def test_claim__already_swept_by_somebody__pays_all_the_same(market: Market, author: Account) -> None:
    """beh:E5: sweeping is anybody's step and takes nothing from anybody."""
    version = market.published(author)
    first = market.earn(version.terms, 10**18)
    market.core.sweep(market.token, version.id, NOBODY, NOBODY, ZERO, sender=market.account("anybody"))
    second = market.earn(version.terms, 10**18)
    assert market.claim([version]).value == first + second == market.free(author)


def test_claim__deals_of_a_verified_pool__are_reached_by_naming_the_pool(world: World) -> None:
    """beh:C5: settled after the lottery, with solver and protocol fee beside the royalty, which alone is taken here."""
    modules = world.evm.deploy("LilypadModules", world.core)
    author = world.evm.account("author")
    terms = replace(world.module, publisher=author.address, royalty_to=modules.address, name_hash=name_hash("cowsay", "v1"))
    modules.publish(terms, "cowsay", "v1", 0, 0, sender=author)
    deal, _ = world.open(module=terms)
    result = world.submit(deal, units=3)
    world.set_seed(deal, drawn=False)
    world.settle(deal, result, by=world.creator)
    royalty, solver_fee, to_fund = world.accrued(deal)
    assert min(royalty, solver_fee, to_fund) > 0
    before = world.fund()
    assert modules.claim(world.token, [terms], [(deal.solver, NOBODY, ZERO)]).value == 0, "another source"
    assert modules.claim(world.token, [terms], [(deal.solver, deal.strategy, deal.pool)]).value == royalty
    assert world.free(author) == royalty
    assert (world.fees(deal), world.fund() - before) == ((0, solver_fee), to_fund)


def test_claim__sources_named_twice__pay_once(market: Market, author: Account) -> None:
    version = market.published(author)
    royalty = market.earn(version.terms, 10**18)
    assert market.claim([version], [NOBODY, NOBODY]).value == royalty


def test_claim__nothing_accrued_or_no_solver__does_nothing(market: Market, author: Account) -> None:
    version = market.published(author)
    for solvers in ([NOBODY], []):
        receipt = market.claim([version], solvers)
        assert receipt.value == 0 and receipt.events("RoyaltyPaid") == []


def test_claim__after_a_transfer__pays_the_new_owner_what_waited(
    market: Market, author: Account, rival: Account
) -> None:
    """beh:G11: a transfer of a name carries its stream, the part that was not claimed included."""
    version = market.published(author)
    before = market.earn(version.terms, 10**18)
    market.claim([version])
    waiting = market.earn(version.terms, 10**18)
    market.modules.transfer(market.modules.recordOf(version.id).name, rival, sender=author)
    after = market.earn(version.terms, 10**18)
    market.claim([version])
    assert (market.free(author), market.free(rival)) == (before, waiting + after)


def test_claim__ancestor_was_sold__its_share_goes_to_the_buyer(market: Market, rival: Account) -> None:
    """beh:G11"""
    line = line_of(market, [4_000])
    elder = authors(market, line)[1]
    market.modules.transfer(market.modules.recordOf(line[1].id).name, rival, sender=elder)
    royalty = market.earn(line[0].terms, 10**18)
    market.claim(line)
    assert (market.free(elder), market.free(rival)) == (0, royalty * 4 // 10)


def test_claim__version_that_was_never_registered__pays_its_publisher(
    market: Market, author: Account, rival: Account
) -> None:
    """beh:A4 inv:I6: whoever let the registry receive a royalty without publishing loses nothing."""
    parent = market.published(rival, "parent", fork_share_bps=5_000)
    ghost = market.version(author, "ghost", parent=parent)
    royalty = market.earn(ghost.terms, 10**18)
    market.claim([ghost])
    assert (market.free(author), market.free(rival)) == (royalty, 0)


def test_claim__registered_later__pays_by_what_was_registered(market: Market, author: Account) -> None:
    version = market.version(author)
    royalty = market.earn(version.terms, 10**18)
    market.publish(version, author)
    market.modules.setPayee(market.modules.recordOf(version.id).name, market.account("payee"), sender=author)
    market.claim([version])
    assert market.free(market.account("payee")) == royalty


# ---- what cannot be had


def test_claim__terms_that_pay_another_account__are_the_cores_refusal(
    market: Market, author: Account, rival: Account
) -> None:
    """Only `royaltyTo` may claim: the registry cannot take what is not its own, and says so before it divides."""
    version = market.published(author, royalty_to=rival.address)
    royalty = market.earn(version.terms, 10**18)
    with expect_revert("RoyaltyNotYours", royaltyTo=rival, caller=market.modules):
        market.claim([version])
    market.core.sweep(market.token, version.id, NOBODY, NOBODY, ZERO)
    market.core.claimRoyalty(market.token, version.terms, NOBODY, sender=rival)
    assert market.free(rival) == royalty


def test_claim__past_the_registry__is_refused(market: Market, author: Account) -> None:
    """inv:I7: not even the owner takes the undivided royalty from the core."""
    version = market.published(author)
    market.earn(version.terms, 10**18)
    with expect_revert("RoyaltyNotYours", royaltyTo=market.modules, caller=author):
        market.core.claimRoyalty(market.token, version.terms, NOBODY, sender=author)


def test_claim__line_cut_short__is_refused(market: Market) -> None:
    """beh:G11: an ancestor cannot be left out by leaving out its terms."""
    line = line_of(market, [5_000, 5_000])
    market.earn(line[0].terms, 10**18)
    for cut in (line[:1], line[:2]):
        with expect_revert("LineageIncomplete", version=cut[-1].id, parent=line[len(cut)].id):
            market.claim(cut)
    assert sum(market.free(account) for account in authors(market, line)) == 0


def test_claim__foreign_terms_in_the_line__are_refused(market: Market, rival: Account) -> None:
    """inv:T30: nobody puts itself in an ancestor's place."""
    line = line_of(market, [5_000])
    market.earn(line[0].terms, 10**18)
    usurper = market.published(rival)
    with expect_revert("LineageBroken", index=1, found=usurper.id, needed=line[1].id):
        market.claim([line[0], usurper])


def test_claim__longer_line_than_needed__pays_the_same(market: Market) -> None:
    line = line_of(market, [5_000])
    royalty = market.earn(line[0].terms, 10**18)
    market.claim([*line, *line])
    assert [market.free(account) for account in authors(market, line)] == [royalty - royalty // 2, royalty // 2]


def test_claim__no_terms_at_all__reverts(market: Market) -> None:
    with expect_revert("Panic", code=0x32):
        market.claim([])


def test_claim__credit_that_somebody_gave_the_registry__is_not_paid_out(
    market: Market, author: Account, rival: Account
) -> None:
    """inv:T29: its own balance is never read for a decision."""
    market.fund(rival, 10**18)
    market.core.transferCredit(market.token, [market.modules.address], [10**18], sender=rival)
    version = market.published(author)
    royalty = market.earn(version.terms, 10**18)
    market.claim([version])
    assert (market.free(author), market.free(market.modules.address)) == (royalty, 10**18)
