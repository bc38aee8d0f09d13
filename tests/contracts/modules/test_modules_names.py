"""Names: rename, transfer, sale, operator and payee. beh:G7 beh:G8"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lilypad_agents.protocol.ids import NOBODY, ZERO
from tests.support.evm import Account, Contract, expect_revert
from tests.support.registry import Market, Version

PRICE = 500 * 10**18
NO_SALE = (NOBODY, 0, NOBODY, 0)


@pytest.fixture
def cowsay(market: Market, author: Account) -> Version:
    return market.published(author)


@pytest.fixture
def name(market: Market, cowsay: Version) -> bytes:
    return bytes(market.modules.recordOf(cowsay.id).name)


@pytest.fixture
def sell(market: Market, author: Account, name: bytes) -> Callable[..., tuple[Any, ...]]:
    """Offers the name; any part of the sale can be another one."""

    def offer(*, token: Any = None, price: int = PRICE, buyer: Any = NOBODY, hours: int = 1) -> tuple[Any, ...]:
        expiry = market.evm.timestamp + 3_600 * hours
        sale = ((token or market.token).address, price, getattr(buyer, "address", buyer), expiry)
        market.modules.offer(name, sale, sender=author)
        return sale

    return offer


def owner_of(market: Market, name: bytes) -> str:
    return str(market.modules.nameOf(name).owner)


def rich(market: Market, account: Account, amount: int = PRICE) -> Account:
    """With tokens in its wallet and the registry approved for exactly the price."""
    market.token.transfer(account, amount)
    market.token.approve(market.modules, amount, sender=account)
    return account


# ---- the owner alone


@pytest.mark.parametrize(
    "call",
    [
        lambda m, n, who: m.rename(n, "other", sender=who),
        lambda m, n, who: m.transfer(n, who, sender=who),
        lambda m, n, who: m.offer(n, (NOBODY, 0, who.address, 9), sender=who),
        lambda m, n, who: m.withdrawOffer(n, sender=who),
        lambda m, n, who: m.setOperator(n, who, sender=who),
        lambda m, n, who: m.setPayee(n, who, sender=who),
    ],
    ids=["rename", "transfer", "offer", "withdrawOffer", "setOperator", "setPayee"],
)
def test_name__every_change_by_a_stranger_or_operator__is_refused(
    market: Market, author: Account, rival: Account, name: bytes, call: Callable[..., Any]
) -> None:
    """beh:G7 beh:G8 inv:T30: also the operator's key moves nothing."""
    operator = market.account("operator")
    market.modules.setOperator(name, operator, sender=author)
    for who in (rival, operator):
        with expect_revert("NameNotYours", owner=author, caller=who):
            call(market.modules, name, who)
    with expect_revert("NameUnknown"):
        call(market.modules, b"\x01" * 24, rival)


# ---- transfer


def test_transfer__to_a_new_owner__clears_all_approvals_and_keeps_the_content(
    market: Market, author: Account, rival: Account, name: bytes, cowsay: Version, sell: Callable[..., Any]
) -> None:
    """beh:G7"""
    operator, payee = market.account("operator"), market.account("payee")
    market.modules.setOperator(name, operator, sender=author)
    market.modules.setPayee(name, payee, sender=author)
    sell()
    receipt = market.modules.transfer(name, rival, sender=author)
    assert dict(receipt.event("NameTransferred")) == {"name": name, "from": author.address, "to": rival.address}
    assert tuple(market.modules.nameOf(name)) == (rival.address, NOBODY, rival.address)
    assert tuple(market.modules.saleOf(name)) == NO_SALE
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == cowsay.id
    for gone in (author, operator):
        with expect_revert("NameNotYours", owner=rival, caller=gone):
            market.publish(market.version(author, "cowsay", "v9"), gone)
        with expect_revert("NameNotYours", owner=rival, caller=gone):
            market.modules.deprecate(cowsay.id, "", sender=gone)
    market.publish(market.version(author, "cowsay", "v0.0.2"), rival)


def test_transfer__former_owner__cannot_take_the_name_back_by_publishing(
    market: Market, author: Account, rival: Account, name: bytes
) -> None:
    """inv:T26: also the account whose namespace it is."""
    market.modules.transfer(name, rival, sender=author)
    with expect_revert("NameNotYours", owner=rival, caller=author):
        market.publish(market.version(author, "cowsay", "v0.0.2"), author)


@pytest.mark.parametrize("to", ["nobody", "registry"])
def test_transfer__to_an_account_that_could_never_use_it__is_refused(
    market: Market, author: Account, name: bytes, to: str
) -> None:
    account = NOBODY if to == "nobody" else market.modules.address
    with expect_revert("AccountInvalid", account=account):
        market.modules.transfer(name, account, sender=author)


# ---- rename


def test_rename__by_the_owner__both_names_lead_to_the_same_module(
    market: Market, author: Account, name: bytes, cowsay: Version, sell: Callable[..., Any]
) -> None:
    """beh:G7: content, old references and income stay; operator and sale are cleared."""
    market.modules.setOperator(name, market.account("operator"), sender=author)
    market.modules.setPayee(name, market.account("payee"), sender=author)
    sell()
    receipt = market.modules.rename(name, "bettercow", sender=author)
    assert dict(receipt.event("NameRenamed")) == {"name": name, "publisher": author.address, "text": "bettercow"}
    assert market.modules.nameIdOf(author, "bettercow") == market.modules.nameIdOf(author, "cowsay") == name
    assert tuple(market.modules.nameOf(name)) == (author.address, NOBODY, market.account("payee").address)
    assert tuple(market.modules.saleOf(name)) == NO_SALE
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == cowsay.id
    newer = market.published(author, "bettercow", "v1")
    assert bytes(market.modules.recordOf(newer.id).name) == name


def test_rename__by_a_buyer__goes_into_its_own_namespace(
    market: Market, author: Account, rival: Account, name: bytes
) -> None:
    """inv:T30: whoever bought a name cannot put new names under the seller's account."""
    market.modules.transfer(name, rival, sender=author)
    market.modules.rename(name, "cowsay", sender=rival)
    made = market.published(rival, "cowsay", "v2")
    assert bytes(market.modules.recordOf(made.id).name) == name
    assert owner_of(market, market.modules.nameIdOf(author, "bettercow")) == NOBODY


def test_rename__to_a_name_that_exists__is_refused(market: Market, author: Account, name: bytes) -> None:
    market.published(author, "other")
    for text in ("other", "cowsay"):
        with expect_revert("NameTaken", publisher=author, owner=author):
            market.modules.rename(name, text, sender=author)
    market.modules.rename(name, "bettercow", sender=author)
    with expect_revert("NameTaken", text="bettercow"):
        market.modules.rename(market.modules.nameIdOf(author, "other"), "bettercow", sender=author)


def test_rename__name_whose_new_id_is_used_as_a_key__is_unknown(market: Market, author: Account, name: bytes) -> None:
    """An alias is no second name: what is done to the module is done under its one id."""
    before = market.modules.nameIdOf(author, "bettercow")
    market.modules.rename(name, "bettercow", sender=author)
    with expect_revert("NameUnknown"):
        market.modules.transfer(before, author, sender=author)


def test_rename__outside_the_grammar__is_refused(market: Market, author: Account, name: bytes) -> None:
    with expect_revert("TextInvalid", index=0):
        market.modules.rename(name, "Cow", sender=author)


# ---- sale


def test_buy__at_the_offered_terms__pays_the_seller_and_moves_the_name_at_once(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """beh:G7 inv:T27: one transaction; no allowance and no token stays with the registry."""
    market.modules.setOperator(name, market.account("operator"), sender=author)
    sell()
    rich(market, rival)
    receipt = market.modules.buy(name, market.token, PRICE, sender=rival)
    sold = receipt.event("NameSold")
    assert (sold["from"], sold["to"], sold["token"], sold["price"]) == (
        author.address,
        rival.address,
        market.token.address,
        PRICE,
    )
    assert (market.token.balanceOf(author), market.token.balanceOf(rival)) == (PRICE, 0)
    assert market.token.balanceOf(market.modules) == market.token.allowance(rival, market.modules) == 0
    assert tuple(market.modules.nameOf(name)) == (rival.address, NOBODY, rival.address)
    with expect_revert("NameNotForSale"):
        market.modules.buy(name, market.token, PRICE, sender=rival)


def test_buy__price_raised_meanwhile__is_refused_with_the_new_terms(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """inv:T6: a seller cannot raise the price under a pending purchase, however much the buyer approved."""
    rich(market, rival, 10 * PRICE)
    sell()
    sell(price=PRICE + 1)
    with expect_revert("SaleDiffers", token=market.token, price=PRICE + 1):
        market.modules.buy(name, market.token, PRICE, sender=rival)
    with expect_revert("SaleDiffers"):
        market.modules.buy(name, rival.address, PRICE + 1, sender=rival)
    assert owner_of(market, name) == author.address


def test_buy__named_buyer__excludes_everybody_else(
    market: Market, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """beh:B11"""
    chosen = market.account("chosen")
    sell(buyer=chosen)
    rich(market, rival)
    with expect_revert("SaleForAnother", buyer=chosen, caller=rival):
        market.modules.buy(name, market.token, PRICE, sender=rival)
    market.modules.buy(name, market.token, PRICE, sender=rich(market, chosen))
    assert owner_of(market, name) == chosen.address


@pytest.mark.parametrize(("late", "works"), [(-1, True), (0, True), (1, False)])
def test_buy__around_the_expiry(
    market: Market, rival: Account, name: bytes, sell: Callable[..., Any], late: int, works: bool
) -> None:
    """beh:E1: until and including the last second."""
    expiry = sell()[3]
    rich(market, rival)
    market.evm.set_block(timestamp=expiry + late)
    if works:
        market.modules.buy(name, market.token, PRICE, sender=rival)
    else:
        with expect_revert("SaleExpired", expiry=expiry, time=expiry + 1):
            market.modules.buy(name, market.token, PRICE, sender=rival)


def test_buy__after_withdrawal__is_refused(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    sell()
    market.modules.withdrawOffer(name, sender=author)
    with expect_revert("NameNotForSale"):
        market.modules.buy(name, market.token, PRICE, sender=rich(market, rival))
    with expect_revert("NameNotForSale"):
        market.modules.withdrawOffer(name, sender=author)


def test_buy__without_the_money__changes_nothing(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    sale = sell()
    with expect_revert("ERC20InsufficientAllowance"):
        market.modules.buy(name, market.token, PRICE, sender=rival)
    assert owner_of(market, name) == author.address
    assert tuple(market.modules.saleOf(name)) == sale


def test_buy__token_that_answers_false__changes_nothing(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """inv:T3: a transfer that did not happen is no payment."""
    false = market.evm.deploy("FalseReturnToken")
    sell(token=false)
    with expect_revert("SafeERC20FailedOperation", token=false):
        market.modules.buy(name, false, PRICE, sender=rival)
    assert owner_of(market, name) == author.address


def test_buy__token_without_code__changes_nothing(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """inv:T3"""
    sell(token=rival)
    with expect_revert("SafeERC20FailedOperation"):
        market.modules.buy(name, rival, PRICE, sender=rival)
    assert owner_of(market, name) == author.address


def test_buy__token_calls_back__finds_the_sale_over(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """inv:T1: effects come before the transfer, so a hook that buys again or moves the name gets nothing."""
    hook: Contract = market.evm.deploy("HookToken")
    hook.mint(rival, PRICE)
    hook.approve(market.modules, PRICE, sender=rival)
    sell(token=hook)
    attempts = [
        market.modules.calldata("buy", name, hook, PRICE),
        market.modules.calldata("transfer", name, hook),
        market.modules.calldata("withdrawOffer", name),
    ]
    hook.arm([(market.modules.address, data) for data in attempts])
    market.modules.buy(name, hook, PRICE, sender=rival)
    assert [ending.ok for ending in hook.endings()] == [False] * 3
    assert owner_of(market, name) == rival.address
    assert hook.balanceOf(author) == PRICE


def test_offer__gift__needs_a_named_buyer_and_costs_nothing(
    market: Market, author: Account, rival: Account, name: bytes, sell: Callable[..., Any]
) -> None:
    """A transfer that the other side has to accept."""
    expiry = market.evm.timestamp + 9
    for sale in ((NOBODY, 0, NOBODY, expiry), (market.token.address, 0, NOBODY, expiry), (NOBODY, 5, rival.address, expiry)):
        with expect_revert("SaleInvalid"):
            market.modules.offer(name, sale, sender=author)
    with expect_revert("SaleInvalid"):
        market.modules.offer(name, (market.token.address, PRICE, NOBODY, 0), sender=author)
    market.modules.offer(name, (NOBODY, 0, rival.address, expiry), sender=author)
    market.modules.buy(name, NOBODY, 0, sender=rival)
    assert owner_of(market, name) == rival.address


# ---- operator and payee


def test_operator__publishes_and_deprecates__for_the_owner(
    market: Market, author: Account, name: bytes, cowsay: Version
) -> None:
    """beh:G8: a hot key for releases."""
    operator = market.account("operator")
    market.modules.setOperator(name, operator, sender=author)
    receipt = market.publish(market.version(author, "cowsay", "v0.0.2"), operator)
    assert receipt.event("VersionPublished")["by"] == operator.address
    market.modules.deprecate(cowsay.id, "old", sender=operator)
    market.modules.setOperator(name, NOBODY, sender=author)
    with expect_revert("NameNotYours", caller=operator):
        market.publish(market.version(author, "cowsay", "v0.0.3"), operator)


def test_operator__sending_income_elsewhere__is_refused_on_every_way(
    market: Market, author: Account, name: bytes
) -> None:
    """beh:G8: not by the terms, not by a parent of its own that asks for everything."""
    operator = market.account("operator")
    market.modules.setOperator(name, operator, sender=author)
    with expect_revert("RoyaltyBypassesSplit", royaltyTo=operator):
        market.publish(market.version(author, "cowsay", "v2", royalty_to=operator.address), operator)
    with expect_revert("RoyaltyBypassesSplit", royaltyTo=NOBODY):
        market.publish(market.version(author, "cowsay", "v2", royalty_to=NOBODY, royalty_bps=0), operator)
    greedy = market.published(operator, "greedy", fork_share_bps=10_000)
    with expect_revert("BpsTooHigh", found=10_000, most=0):
        market.publish(market.version(author, "cowsay", "v2", parent=greedy, parent_share_bps=10_000), operator)
    with expect_revert("ParentShareTooLow"):
        market.publish(market.version(author, "cowsay", "v2", parent=greedy), operator)
    market.publish(market.version(author, "cowsay", "v2", parent=greedy, parent_share_bps=10_000), author)


def test_operator__of_one_name__has_no_power_over_another(market: Market, author: Account, name: bytes) -> None:
    operator = market.account("operator")
    market.modules.setOperator(name, operator, sender=author)
    other = market.published(author, "other")
    with expect_revert("NameNotYours", caller=operator):
        market.modules.deprecate(other.id, "", sender=operator)
    with expect_revert("NameNotYours", caller=operator):
        market.publish(market.version(author, "third"), operator)


def test_payee__named__is_paid_until_it_is_named_no_more(
    market: Market, author: Account, name: bytes, cowsay: Version
) -> None:
    """beh:G8"""
    payee = market.account("payee")
    receipt = market.modules.setPayee(name, payee, sender=author)
    assert dict(receipt.event("PayeeNamed")) == {"name": name, "payee": payee.address}
    first = market.earn(cowsay.terms, 10**18)
    market.claim([cowsay])
    assert (market.free(payee), market.free(author)) == (first, 0)
    market.modules.setPayee(name, NOBODY, sender=author)
    second = market.earn(cowsay.terms, 10**18)
    market.claim([cowsay])
    assert (market.free(payee), market.free(author)) == (first, second)
    with expect_revert("AccountInvalid", account=market.modules):
        market.modules.setPayee(name, market.modules, sender=author)


def test_views__of_what_does_not_exist__are_empty(market: Market, author: Account) -> None:
    assert market.modules.versionOf(author, "nothing", "v1") == ZERO
    assert tuple(market.modules.saleOf(b"\x07" * 24)) == NO_SALE
