"""The address book against a real chain."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from eth_utils import keccak

from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import ChainReset, DeploymentMismatch, DevelopmentChainFailed
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId
from tests.support.chain import PROJECT, fresh_address


@pytest.fixture
def book(rpc: Rpc, emitter: Contract) -> Iterator[AddressBook]:
    code = bytes.fromhex(rpc.request("eth_getCode", emitter.address, "latest")[2:])
    entry = {"address": emitter.address, "block": 1, "codeHash": "0x" + keccak(code).hex()}
    genesis = "0x" + read_moment(rpc, 0).hash.hex()
    yield AddressBook.parse({"chainId": 1337, "genesisHash": genesis, "contracts": {"Emitter": entry}}, "book.json")


def test_verify__same_chain_and_code__passes(rpc: Rpc, book: AddressBook) -> None:
    book.verify(rpc)


def test_verify__other_code_at_the_address__refused(rpc: Rpc, book: AddressBook) -> None:
    """flt:F38 beh:J6"""
    rpc.request("anvil_setCode", book.address("Emitter"), "0x6001")
    with pytest.raises(DeploymentMismatch, match="not trusted") as caught:
        book.verify(rpc)
    assert caught.value.figures["found"] == "0x" + keccak(b"\x60\x01").hex()


def test_verify__no_code_at_the_address__refused(rpc: Rpc, book: AddressBook) -> None:
    """flt:F38"""
    rpc.request("anvil_setCode", book.address("Emitter"), "0x")
    with pytest.raises(DeploymentMismatch, match="no code"):
        book.verify(rpc)
    assert book.address("Emitter") != fresh_address(1)


def test_verify__chain_started_empty__names_the_other_genesis(chain: Anvil, rpc: Rpc, book: AddressBook) -> None:
    """flt:F40"""
    chain.stop()
    time.sleep(1.1)  # anvil's first block carries the second of its start
    chain.start()
    with pytest.raises(ChainReset, match="deploy again|began with") as caught:
        book.verify(rpc)
    assert "devnet reset" in caught.value.way_out


def test_verify__book_of_another_chain__names_both(start_anvil: object, book: AddressBook) -> None:
    other = start_anvil(chain_id=ChainId(31337))  # type: ignore[operator]
    with pytest.raises(DeploymentMismatch, match="chain 1337, the endpoint serves chain 31337"):
        book.verify(Rpc(RpcConfig((other.url,), ChainId(31337))))


def test_anvil__port_in_use__is_refused(chain: Anvil) -> None:
    with pytest.raises(DevelopmentChainFailed, match="already listens"):
        Anvil(find_anvil(PROJECT), AnvilConfig(port=chain.port)).start()


def test_anvil__bad_option__reports_that_it_ended() -> None:
    with pytest.raises(DevelopmentChainFailed, match="ended at once"):
        Anvil(find_anvil(PROJECT), AnvilConfig(extra=("--no-such-option",))).start()


def test_anvil__mixed_mining__mines_on_transactions_and_on_time(start_anvil: object) -> None:
    chain = start_anvil(block_time_s=1, mixed_mining=True)  # type: ignore[operator]
    rpc = Rpc(RpcConfig((chain.url,), ChainId(1337)))
    sender = rpc.request("eth_accounts")[0]
    sent = rpc.request("eth_sendTransaction", {"from": sender, "to": sender, "value": "0x1"})
    end = time.monotonic() + 0.9
    while rpc.request("eth_getTransactionReceipt", sent) is None:
        assert time.monotonic() < end, "no receipt before the next timed block"
    mined = read_moment(rpc).number
    end = time.monotonic() + 5
    while read_moment(rpc).number == mined:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_find_anvil__nowhere__says_what_is_missing(tmp_path: object) -> None:
    with pytest.raises(DevelopmentChainFailed, match="anvil is missing"):
        find_anvil(None, str(tmp_path))
