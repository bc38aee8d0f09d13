"""Consent of contract accounts (ERC-1271): they open deals as keys do, and whatever they do spoils only their own pair."""

from __future__ import annotations

from typing import Any

import pytest

from lilypad_agents.protocol.consent import (
    APPROVED,
    Result,
    Waiver,
    by_contract,
)
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.ids import NOBODY, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import Pair, SignedResult, opening_of, openings_of
from tests.support.consents import HASH, open_pair, signed_by, speaker
from tests.support.evm import Account, Contract, Halted, decode_error, expect_revert
from tests.support.world import COIN, World


@pytest.fixture
def owner(world: World) -> Account:
    return world.evm.account("owner")


def fund(world: World, account: Any, amount: int = 1_000 * COIN) -> None:
    world.core.transferCredit(world.token, [account], [amount], sender=world.challenger)


def wallet_pair(world: World, wallet: Contract, signature: bytes = b"") -> Pair:
    """A job offer of a contract account."""
    pair = world.pair({"creator": wallet})
    return signed_by(world, pair, job=by_contract(signature))


def test_contract_account__by_erc1271__opens_as_a_key_does(world: World, owner: Account) -> None:
    """beh:A9 beh:B2"""
    wallet = world.evm.deploy("GoodWallet1271", owner)
    fund(world, wallet)
    pair = wallet_pair(world, wallet)
    hashed = world.domain.digest(pair.job.struct_hash)
    with expect_revert("SignatureInvalid", account=wallet):
        open_pair(world, signed_by(world, pair, job=by_contract(world.keeper.sign(hashed))))
    with expect_revert("SignatureInvalid", account=wallet):
        open_pair(world, signed_by(world, pair, job=owner.consent(hashed)))
    open_pair(world, signed_by(world, pair, job=by_contract(owner.sign(hashed))))


def test_contract_account__that_changes_its_answer__does_not_disturb_open_deals(world: World) -> None:
    """beh:B2 inv:T45"""
    wallet = world.evm.deploy("Flip1271")
    fund(world, wallet)
    with expect_revert("SignatureInvalid"):
        open_pair(world, wallet_pair(world, wallet))
    wallet.set(True)
    deal, _ = world.open(wallet_pair(world, wallet))
    wallet.set(False)
    result = world.submit(deal)
    with expect_revert("SignatureInvalid", account=wallet):
        world.settle(deal, result, Agreement.WAIVER, signature=by_contract(b""))
    world.set_seed(deal, drawn=False)
    world.pass_to(world.state(deal).deadline + 1)
    world.settle(deal, result)
    assert world.state(deal).status == Status.ACCEPTED


HOSTILE = {
    "reverts": ("RevertingWallet1271", ()),
    "burns gas": ("GasBurner1271", ()),
    "says no": ("Flip1271", ()),
    "answers 31 bytes": ("Bomb1271", (31,)),
    "answers nothing": ("Bomb1271", (0,)),
    "is a token": ("PlainToken", ("Token", 18)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_contract_account__that_misbehaves__spoils_only_its_own_pair(world: World, name: str) -> None:
    """inv:T45 inv:T10 beh:B13"""
    wallet = world.evm.deploy(HOSTILE[name][0], *HOSTILE[name][1])
    fund(world, wallet)
    bad, good = wallet_pair(world, wallet), world.pair()
    with expect_revert("SignatureInvalid", structHash=bad.job.struct_hash, account=wallet):
        open_pair(world, bad)
    receipt = world.core.openBatch(openings_of([bad, good]), gas=3_000_000)
    assert len(receipt.events("DealOpened")) == 1
    assert decode_error(receipt.event("Skipped")["reason"]).name == "SignatureInvalid"


def test_contract_account__that_burns_gas__burns_a_bounded_amount(fresh_world: World) -> None:
    """inv:T45 inv:I18"""
    world = fresh_world
    wallet = world.evm.deploy("GasBurner1271")
    fund(world, wallet)
    receipt = world.core.openBatch(openings_of([wallet_pair(world, wallet)]), exact=True)
    assert 400_000 < receipt.gas_used < 500_000


@pytest.mark.parametrize("size", [32, 33, 100_000, 1_000_000])
def test_contract_account__that_answers_a_bomb__counts_by_its_first_word_and_costs_little(
    fresh_world: World, size: int
) -> None:
    """inv:T10 inv:T45: the answer is yes, but nobody copies it; the wallet's own gas bounds its size."""
    world = fresh_world
    wallet = world.evm.deploy("Bomb1271", size)
    fund(world, wallet)
    pair = wallet_pair(world, wallet)
    if size <= 100_000:
        receipt = world.core.open(opening_of([pair]), exact=True)
        assert receipt.gas_used < 500_000
    else:
        with expect_revert("SignatureInvalid"):
            open_pair(world, pair)


def test_contract_account__that_calls_back__can_change_nothing(world: World) -> None:
    """inv:T1 inv:T45"""
    wallet = world.evm.deploy("Reentrant1271")
    fund(world, wallet)
    calls = {
        "withdraw": (world.token, 1, world.keeper),
        "transferCredit": (world.token, [world.keeper], [1]),
        "approve": (wallet, HASH, True),
        "revokeDelegate": (world.keeper,),
        "cancel": (wallet, False, [1]),
    }
    for name, arguments in calls.items():
        wallet.arm(world.core, world.core.calldata(name, *arguments))
        with expect_revert("SignatureInvalid", account=wallet):
            open_pair(world, wallet_pair(world, wallet))
    assert world.free(wallet) == 1_000 * COIN
    wallet.arm(world.core, world.core.calldata("heldOf", world.token))  # a view it may ask
    open_pair(world, wallet_pair(world, wallet))


def test_account_without_code__does_not_pass_for_a_contract(world: World) -> None:
    for signature in (b"", bytes(32), bytes.fromhex("1626ba7e") + bytes(28)):
        assert speaker(world, world.creator, by_contract(signature), 7) == NOBODY
    for precompile in range(1, 10):
        assert speaker(world, f"0x{precompile:040x}", by_contract(b""), 7) == NOBODY


def test_contract_accounts__hold_every_role_of_a_deal(world: World, owner: Account) -> None:
    """beh:A9: creator, provider and solver are contracts; all they do goes by ERC-1271 or by a call of their own."""
    creator, provider, solver = (world.evm.deploy("GoodWallet1271", owner) for _ in range(3))
    fund(world, creator)
    fund(world, provider)

    def says(message: Any) -> bytes:
        return by_contract(owner.sign(world.domain.digest(message.struct_hash)))

    pair = world.pair({"creator": creator, "solver": solver}, {"provider": provider, "solver": solver})
    pair = signed_by(world, pair, job=says(pair.job), resource=APPROVED)
    provider.execute(world.core, world.core.calldata("open", opening_of([pair])))
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    deal_id = deal.id(world.domain)
    result = world.result(deal, units=2)
    commitment = world.commitment(deal, result)
    signed = SignedResult(deal_id, commitment, says(Result(deal_id, commitment)))
    assert not world.core.submitSignedResults([signed]).events("Skipped")
    waiver = says(Waiver(deal_id=deal_id, result_digest=keccak256(result.head + result.content)))
    world.settle(deal, result, Agreement.WAIVER, signature=waiver)
    world.sweep(deal)
    world.core.claimSolverFee(world.token, deal.module, solver)
    assert world.free(solver) == (COIN + 2 * COIN // 100) // 100
    provider.execute(world.core, world.core.calldata("withdraw", world.token, world.free(provider), provider))
    assert world.token.balanceOf(provider) == 1_000 * COIN + COIN + 2 * COIN // 100


def test_little_gas__starves_a_contract_s_check__at_most_its_own_pair_is_left_out(world: World, owner: Account) -> None:
    """inv:T9: whoever relays can always leave a pair out; it cannot make one count that was not signed."""
    wallet = world.evm.deploy("GoodWallet1271", owner)
    fund(world, wallet)
    pair = wallet_pair(world, wallet)
    good = by_contract(owner.sign(world.domain.digest(pair.job.struct_hash)))
    bad = by_contract(world.keeper.sign(world.domain.digest(pair.job.struct_hash)))
    for gas in range(80_000, 400_000, 20_000):
        for signature, may_open in ((good, True), (bad, False)):
            with world.evm.snapshot():
                try:
                    receipt = world.core.openBatch(openings_of([signed_by(world, pair, job=signature)]), gas=gas)
                except Halted:
                    continue
                assert may_open or not receipt.events("DealOpened")
