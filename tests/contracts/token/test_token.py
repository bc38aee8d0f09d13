"""The token: whole supply at once, permit, nobody in charge. beh:L4 inv:I20"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_utils import keccak

from tests.support.evm import Account, Contract, Evm, expect_revert

CAP = 10**9 * 10**18
PERMIT = keccak(text="Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")


@pytest.fixture(scope="module")
def _evm() -> Evm:
    return Evm()


@pytest.fixture(scope="module")
def _token(_evm: Evm) -> Contract:
    return _evm.deploy("LilypadToken", _evm.account("treasury"))


@pytest.fixture
def token(_evm: Evm, _token: Contract) -> Iterator[Contract]:
    with _evm.snapshot():
        yield _token


@pytest.fixture
def treasury(_evm: Evm) -> Account:
    return _evm.account("treasury")


@pytest.fixture
def bob(_evm: Evm) -> Account:
    return _evm.account("bob")


def word(value: object) -> bytes:
    return int(str(value), 0).to_bytes(32, "big")


def permit(token: Contract, owner: Account, spender: Account, value: int, deadline: int) -> tuple[int, bytes, bytes]:
    """v, r, s of a permit with the owner's present nonce (ERC-2612)."""
    fields = (owner.address, spender.address, value, token.nonces(owner), deadline)
    digest = keccak(b"\x19\x01" + token.DOMAIN_SEPARATOR() + keccak(PERMIT + b"".join(word(field) for field in fields)))
    signature = owner.sign(digest)
    return signature[64], signature[:32], signature[32:64]


def test_supply__from_the_first_moment__is_the_cap_in_one_hand(token: Contract, treasury: Account) -> None:
    assert token.totalSupply() == token.balanceOf(treasury) == token.CAP() == CAP
    assert (token.simulate("name"), token.symbol(), token.decimals()) == ("Lilypad Token", "LILY", 18)


def test_supply__no_function_could_change_it(token: Contract) -> None:
    """beh:L4 inv:T30: these and no others; none mints, burns, pauses or belongs to anybody."""
    functions = set(token._artefact.abi.functions)
    assert functions - token._artefact.views == {"approve", "permit", "transfer", "transferFrom"}


def test_construction__for_nobody__is_refused(_evm: Evm) -> None:
    with expect_revert("ERC20InvalidReceiver"):
        _evm.deploy("LilypadToken", "0x" + "00" * 20)


def test_permit__signed__allows_once(token: Contract, _evm: Evm, treasury: Account, bob: Account) -> None:
    deadline = _evm.timestamp
    v, r, s = permit(token, treasury, bob, 5, deadline)
    token.permit(treasury, bob, 5, deadline, v, r, s)
    assert token.allowance(treasury, bob) == 5
    token.transferFrom(treasury, bob, 5, sender=bob)
    with expect_revert("ERC2612InvalidSigner"):
        token.permit(treasury, bob, 5, deadline, v, r, s)
    with expect_revert("ERC20InsufficientAllowance"):
        token.transferFrom(treasury, bob, 1, sender=bob)


def test_permit__one_second_late__is_refused(token: Contract, _evm: Evm, treasury: Account, bob: Account) -> None:
    deadline = _evm.timestamp - 1
    with expect_revert("ERC2612ExpiredSignature", deadline=deadline):
        token.permit(treasury, bob, 5, deadline, *permit(token, treasury, bob, 5, deadline))


def test_permit__of_another_chain_or_token__is_worthless(token: Contract, _evm: Evm, treasury: Account, bob: Account) -> None:
    """inv:T4 beh:B5"""
    deadline = _evm.timestamp
    twin = _evm.deploy("LilypadToken", bob)
    with expect_revert("ERC2612InvalidSigner"):
        token.permit(treasury, bob, 5, deadline, *permit(twin, treasury, bob, 5, deadline))
    elsewhere = Evm(chain_id=5)
    same = elsewhere.deploy("LilypadToken", elsewhere.account("treasury"))
    with expect_revert("ERC2612InvalidSigner"):
        token.permit(treasury, bob, 5, deadline, *permit(same, treasury, bob, 5, deadline))
