"""The faucet: one portion an account and interval, so much to all, never in production."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lilypad_agents.chain.deployment_plan import PRODUCTION_CHAINS
from tests.support.evm import Account, Contract, Evm, expect_revert

AMOUNT, INTERVAL, MOST = 100 * 10**18, 60, 250 * 10**18
START = 1_800_000_000  # the first second of an interval


@pytest.fixture(scope="module")
def _evm() -> Evm:
    return Evm(timestamp=START)


@pytest.fixture(scope="module")
def _token(_evm: Evm) -> Contract:
    return _evm.deploy("LilypadToken", _evm.deployer)


@pytest.fixture(scope="module")
def _faucet(_evm: Evm, _token: Contract) -> Contract:
    faucet = _evm.deploy("LilypadFaucet", _token, AMOUNT, INTERVAL, MOST)
    _token.transfer(faucet, 10 * MOST)
    return faucet


@pytest.fixture
def faucet(_evm: Evm, _faucet: Contract) -> Iterator[Contract]:
    with _evm.snapshot():
        yield _faucet


@pytest.fixture
def alice(_evm: Evm) -> Account:
    return _evm.account("alice")


@pytest.fixture
def bob(_evm: Evm) -> Account:
    return _evm.account("bob")


def test_drip__first__gives_one_portion_to_the_account_named(
    faucet: Contract, _token: Contract, alice: Account, bob: Account
) -> None:
    receipt = faucet.drip(alice, sender=bob)
    assert dict(receipt.event("Dripped")) == {"account": alice.address, "amount": AMOUNT, "by": bob.address}
    assert (_token.balanceOf(alice), _token.balanceOf(bob)) == (AMOUNT, 0)
    assert faucet.nextDripAt(alice) == START + INTERVAL
    assert tuple(faucet.leftInInterval()) == (MOST - AMOUNT, START + INTERVAL)


@pytest.mark.parametrize(("seconds", "works"), [(INTERVAL - 1, False), (INTERVAL, True), (INTERVAL + 1, True)])
def test_drip__again__works_from_the_stated_second(
    faucet: Contract, _evm: Evm, alice: Account, bob: Account, seconds: int, works: bool
) -> None:
    """Whoever asks: the limit is the account's that receives."""
    faucet.drip(alice)
    _evm.set_block(timestamp=START + seconds)
    if works:
        faucet.drip(alice, sender=bob)
    else:
        with expect_revert("DrippedBefore", account=alice, nextAt=START + INTERVAL, time=START + seconds):
            faucet.drip(alice, sender=bob)


def test_drip__to_many_fresh_accounts__is_limited_in_total(faucet: Contract, _evm: Evm, _token: Contract) -> None:
    """inv:T18: a flood of accounts gets no more than the interval's amount, and the next interval begins anew."""
    for number in range(2):
        faucet.drip(_evm.account(f"fresh-{number}"))
    with expect_revert("IntervalUsedUp", given=2 * AMOUNT, mostPerInterval=MOST, nextAt=START + INTERVAL):
        faucet.drip(_evm.account("fresh-2"))
    _evm.set_block(timestamp=START + INTERVAL - 1)
    with expect_revert("IntervalUsedUp"):
        faucet.drip(_evm.account("fresh-2"))
    _evm.set_block(timestamp=START + INTERVAL)
    assert tuple(faucet.leftInInterval()) == (MOST, START + 2 * INTERVAL)
    faucet.drip(_evm.account("fresh-2"))
    assert _token.balanceOf(faucet) == 10 * MOST - 3 * AMOUNT


def test_drip__faucet_empty__says_what_it_has(_evm: Evm, _token: Contract, alice: Account) -> None:
    dry = _evm.deploy("LilypadFaucet", _token, AMOUNT, INTERVAL, MOST)
    _token.transfer(dry, AMOUNT - 1)
    with expect_revert("FaucetEmpty", has=AMOUNT - 1, needed=AMOUNT):
        dry.drip(alice)
    assert dry.nextDripAt(alice) == 0


def test_tokens__leave_by_drips_alone(faucet: Contract) -> None:
    """beh:L4: no owner, no withdrawal."""
    assert set(faucet._artefact.abi.functions) - faucet._artefact.views == {"drip"}


@pytest.mark.parametrize("chain_id", sorted(PRODUCTION_CHAINS))
def test_construction__on_a_production_chain__is_refused(chain_id: int) -> None:
    """The deployment script's list and the contract's are one."""
    evm = Evm(chain_id=chain_id)
    with expect_revert("ChainIsProduction", chainId=chain_id):
        evm.deploy("LilypadFaucet", evm.deployer, AMOUNT, INTERVAL, MOST)


@pytest.mark.parametrize("chain_id", [1337, 31337, 11155111, 17000, 84532])
def test_construction__on_a_test_chain__works(chain_id: int) -> None:
    evm = Evm(chain_id=chain_id)
    assert evm.deploy("LilypadFaucet", evm.deployer, AMOUNT, INTERVAL, MOST).AMOUNT() == AMOUNT


@pytest.mark.parametrize(
    "limits", [(0, 60, 1), (1, 0, 1), (2, 60, 1), (1, 60, 2**128)], ids=["amount", "interval", "below-amount", "too-much"]
)
def test_construction__limits_without_sense__are_refused(_evm: Evm, limits: tuple[int, int, int]) -> None:
    with expect_revert("LimitsInvalid", amount=limits[0], interval=limits[1], mostPerInterval=limits[2]):
        _evm.deploy("LilypadFaucet", _evm.deployer, *limits)
