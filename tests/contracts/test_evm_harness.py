"""The in-process EVM of the contract tests is itself tested: what it says of gas, blocks, errors and snapshots is true."""

from __future__ import annotations

import pytest

from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT
from tests.support.evm import BuildMissing, Contract, Evm, Halted, decode_error, expect_revert


@pytest.fixture
def token(evm: Evm) -> Contract:
    token = evm.deploy("PlainToken", "Test", 18)
    token.mint(evm.account("alice"), 100)
    return token


# ---- errors


def test_expect_revert__no_revert_or_another__fails(evm: Evm, token: Contract) -> None:
    alice, bob = evm.account("alice"), evm.account("bob")
    with expect_revert("ERC20InsufficientBalance", sender=bob, balance=0, needed=1):
        token.transfer(alice, 1, sender=bob)
    with pytest.raises(AssertionError, match="went through"), expect_revert("ERC20InsufficientBalance"):
        token.transfer(bob, 1, sender=alice)
    with pytest.raises(AssertionError, match="expected Other, got ERC20"), expect_revert("Other"):
        token.transfer(alice, 1_000, sender=bob)
    with pytest.raises(AssertionError, match="needed is 1000, expected 7"):
        with expect_revert("ERC20InsufficientBalance", needed=7):
            token.transfer(alice, 1_000, sender=bob)
    with pytest.raises(AssertionError, match="no argument want"), expect_revert("ERC20InsufficientBalance", want=7):
        token.transfer(alice, 1_000, sender=bob)


def test_revert__unknown_or_empty__keeps_its_bytes() -> None:
    assert (decode_error(b"").name, decode_error(b"\1\2\3\4\5").data) == ("", b"\1\2\3\4\5")
    text = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (3).to_bytes(32, "big") + b"why".ljust(32, b"\0")
    assert decode_error(text).arguments["reason"] == "why"


def test_call__without_gas_enough__halts(evm: Evm, token: Contract) -> None:
    with pytest.raises(Halted, match="OutOfGas"):
        token.transfer(evm.account("bob"), 1, sender=evm.account("alice"), gas=30_000)
    assert token.balanceOf(evm.account("bob")) == 0


def test_deploy__contract_that_is_not_built__says_what_to_run(evm: Evm) -> None:
    with pytest.raises(BuildMissing, match="ape compile"):
        evm.deploy("NoSuchContract")


def test_contract__unknown_function__is_no_attribute(token: Contract) -> None:
    with pytest.raises(AttributeError, match="no function mend"):
        token.mend()


# ---- state


def test_snapshot__state_block_and_accounts__come_back(evm: Evm, token: Contract) -> None:
    alice, before = evm.account("alice"), (evm.number, evm.timestamp)
    with evm.snapshot():
        token.mint(alice, 5)
        with evm.snapshot():
            token.mint(alice, 7)
            evm.mine(3, seconds=30)
            assert (evm.number, evm.timestamp) == (before[0] + 3, before[1] + 30)
        assert token.balanceOf(alice) == 105
    assert (evm.number, evm.timestamp) == before
    assert token.balanceOf(alice) == 100


def test_view_and_simulation__of_a_change__leave_no_trace(evm: Evm, token: Contract) -> None:
    alice, bob = evm.account("alice"), evm.account("bob")
    assert token.simulate("transfer", bob, 100, sender=alice) is True
    assert token.balanceOf(alice) == 100


def test_exact_call__inside_a_snapshot__says_that_the_snapshot_is_lost(evm: Evm, token: Contract) -> None:
    with pytest.raises(RuntimeError, match="exact call"), evm.snapshot():
        token.mint(evm.account("alice"), 1, exact=True)
    assert token.balanceOf(evm.account("alice")) == 101


def test_exact_call__after_many__keeps_code_storage_nonces_and_coin(evm: Evm, token: Contract) -> None:
    alice = evm.account("alice")
    coin = evm.balance(alice)
    second = evm.deploy("PlainToken", "Second", 6, sender=alice)
    token.mint(alice, 1, exact=True)
    assert (token.balanceOf(alice), second.decimals(), evm.balance(alice)) == (101, 6, coin)
    third = evm.deploy("PlainToken", "Third", 6, sender=alice)
    assert third.address != second.address
    assert second.method("name")() == "Second"


def test_transient_storage__after_a_reverted_call__is_clear(world: object) -> None:
    """A re-entrancy lock must not stay shut because the transaction before reverted."""
    from tests.support.world import World

    assert isinstance(world, World)
    with expect_revert("AmountZero"):
        world.core.deposit(world.token, 0, world.creator)
    world.deposit(world.creator, 5)


# ---- blocks


def test_block_hashes__with_history__are_those_of_the_opcode_for_8191_blocks(evm: Evm) -> None:
    evm.install_history()
    evm.set_block(number=20_000)
    source = evm.deploy("BlockHashRandomness", 6, 1_000, 1_000)
    assert source.hasHistory()
    for period in (3_332, 3_300, 2_000):  # behind the opcode's reach from the second on
        assert tuple(source.seed(period)) == (1, evm.block_hash(period * 6 + 2))
    assert tuple(source.seed((20_000 - 8_191) // 6 - 1)) == (2, bytes(32))
    assert tuple(source.seed(20_000 // 6 + 1)) == (0, bytes(32))


def test_block_values__as_set__are_what_contracts_see(evm: Evm) -> None:
    source = evm.deploy("BlockHashRandomness", 6, 1_000, 1_000)
    assert not source.hasHistory()
    assert source.currentPeriod() == 1_000 // 6
    evm.set_block(number=1_200)
    assert source.currentPeriod() == 200
    assert tuple(source.seed(199)) == (1, evm.block_hash(1_196))
    assert tuple(source.seed(150)) == (2, bytes(32))


# ---- gas


def test_exact_gas__of_calls_in_a_row__is_that_of_a_chain(evm: Evm, token: Contract) -> None:
    """The same calls on anvil (Cancun): intrinsic gas, calldata, cold and warm slots, refunds."""
    alice, bob = evm.account("alice"), evm.account("bob")
    calls = [
        token.calldata("mint", alice, 10**18),
        token.calldata("transfer", bob, 10**17),
        token.calldata("transfer", bob, 10**17),
        token.calldata("approve", bob, 5),
        token.calldata("approve", bob, 0),
        token.calldata("transfer", bob, 8 * 10**17 + 100),
    ]
    ours = [evm.transact(token, data, sender=alice, exact=True).gas_used for data in calls]
    assert ours == _on_anvil(evm, token, calls, alice.address)


def _on_anvil(evm: Evm, token: Contract, calls: list[bytes], sender: str) -> list[int]:
    config = AnvilConfig(chain_id=CHAIN, hardfork="cancun")
    with Anvil(find_anvil(PROJECT), config) as anvil:
        rpc = Rpc(RpcConfig((anvil.url,), CHAIN))
        try:
            rpc.request("anvil_impersonateAccount", sender)
            rpc.request("anvil_setBalance", sender, hex(10**20))
            creation = token._artefact.creation_code + token._artefact.abi.encode_constructor("Test", 18)
            address = _mined(rpc, {"from": sender, "data": "0x" + creation.hex(), "gas": hex(5_000_000)})["contractAddress"]
            _mined(rpc, {"from": sender, "to": address, "data": "0x" + token.calldata("mint", sender, 100).hex()})
            receipts = [_mined(rpc, {"from": sender, "to": address, "data": "0x" + data.hex()}) for data in calls]
            return [int(receipt["gasUsed"], 16) for receipt in receipts]
        finally:
            rpc.close()


def _mined(rpc: Rpc, transaction: dict[str, str]) -> dict[str, str]:
    digest = rpc.request("eth_sendTransaction", transaction)
    for _ in range(1_000):
        receipt = rpc.request("eth_getTransactionReceipt", digest)
        if receipt is not None:
            assert receipt["status"] == "0x1"
            return receipt
    raise AssertionError("not mined")
