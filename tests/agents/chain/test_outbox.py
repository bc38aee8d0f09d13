"""The outbox against a real chain: exactly one mined transaction per key, whatever happens in between."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.errors import (
    ChainReset,
    ContractReverted,
    DeadlinePassed,
    RpcError,
    TransactionTimeout,
    WrongChain,
)
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.chain.outbox import Failed, Mined, Outbox, Pending
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId, Wei
from lilypad_agents.errors import ChainUnreachable, InsufficientFunds
from tests.support.chain import CHAIN, GWEI, Events, balance, by_hand, fresh_address, mine, nonce
from tests.support.faultproxy import FaultProxy
from tests.support.outbox import Open, pump_until


def test_submit__repeated_key__sends_one_transaction(rpc: Rpc, open_outbox: Open, signer: LocalSigner) -> None:
    """beh:J2 An intent has a natural key, so repeating it is harmless."""
    outbox, to = open_outbox(), fresh_address(1)
    first = outbox.submit("pay", to, value=5)
    assert outbox.submit("pay", to, value=5) == first
    receipt = outbox.wait("pay", 10)
    assert outbox.submit("pay", to, value=5) == first
    outbox.pump()
    assert receipt.succeeded and balance(rpc, to) == 5 and nonce(rpc, signer.address) == 1


def test_submit__a_hundred_threads__all_land_once(rpc: Rpc, open_outbox: Open, signer: LocalSigner) -> None:
    """beh:J4 A hundred parallel transactions of one key all land."""
    outbox, to = open_outbox(), fresh_address(2)
    failures: list[BaseException] = []

    def one(number: int) -> None:
        try:
            outbox.submit(f"pay:{number}", to, value=1 << (number % 8))
            outbox.wait(f"pay:{number}", 30)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert balance(rpc, to) == sum(1 << (number % 8) for number in range(100))
    assert nonce(rpc, signer.address) == 100


def test_submit__a_hundred_in_slow_blocks__all_land_with_replacements(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, events: Events
) -> None:
    """beh:J4 With replacement and fee bumps where needed: the base fee rises above every first offer."""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(), fresh_address(3)
    for number in range(100):
        outbox.submit(f"pay:{number}", to, value=1)
    outbox.pump()
    rpc.request("anvil_setNextBlockBaseFeePerGas", hex(9 * GWEI))
    for number in range(100):
        pump_until(outbox, f"pay:{number}", Mined, seconds=30, each=lambda: mine(rpc))
    assert events.named("outbox_replaced")
    assert balance(rpc, to) == 100 and nonce(rpc, signer.address) == 100


def test_submit__call_that_reverts__fails_decoded_without_paying(
    rpc: Rpc, open_outbox: Open, emitter: Contract, signer: LocalSigner
) -> None:
    """beh:J5 Shown with the decoded name and arguments; the simulation keeps it from costing gas."""
    outbox = open_outbox()
    outbox.submit("fail", emitter.address, emitter.encode("fail", 3, 7))
    with pytest.raises(ContractReverted, match=r"NotEnough\(have=3, need=7\)") as caught:
        outbox.wait("fail", 10)
    assert caught.value.decoded is not None and caught.value.decoded.args["need"] == 7
    assert nonce(rpc, signer.address) == 0
    status = outbox.status("fail")
    assert isinstance(status, Failed) and status.receipt is None


@pytest.mark.parametrize("gas", [None, 100_000], ids=["estimated", "given"])
def test_submit__rival_is_mined_first__revert_is_decoded_and_not_repeated(
    rpc: Rpc, open_outbox: Open, emitter: Contract, signer: LocalSigner, rival: LocalSigner, gas: int | None
) -> None:
    """flt:F22 beh:J5 Reverts although the simulation passed: decoded, no blind retry; a new decision may go again."""
    rpc.request("evm_setAutomine", False)
    outbox, other = open_outbox(), open_outbox(signer=rival, name="rival", least_tip=Wei(3 * GWEI))
    outbox.submit("take", emitter.address, emitter.encode("take"), gas=gas)
    outbox.pump()
    other.submit("take", emitter.address, emitter.encode("take"))
    other.pump()
    mine(rpc)
    status = pump_until(outbox, "take", Failed)
    assert isinstance(status.error, ContractReverted) and f"AlreadyTaken(by={rival.address})" in status.error.message
    assert status.receipt is not None and not status.receipt.succeeded
    for _ in range(3):
        mine(rpc)
        outbox.pump()
    assert nonce(rpc, signer.address) == 1
    outbox.submit("take", emitter.address, emitter.encode("mark", b"\1" * 32, 1), again_if_failed=True)
    rpc.request("evm_setAutomine", True)
    assert outbox.wait("take", 10).succeeded


def test_pump__answer_to_the_broadcast_is_lost__same_bytes_and_one_payment(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F14 Accepted, answer lost: the same bytes again, resolved by our own hash, no second payment."""
    outbox, to = open_outbox(rpc=Rpc(RpcConfig((proxy.url,), CHAIN))), fresh_address(4)
    proxy.lose_methods, proxy.lose_count = frozenset({"eth_sendRawTransaction"}), 2
    outbox.submit("pay", to, value=9)
    assert outbox.wait("pay", 20).succeeded
    assert balance(rpc, to) == 9 and nonce(rpc, signer.address) == 1
    assert len(proxy.raw_transactions) >= 2 and len(set(proxy.raw_transactions)) == 1


def test_pump__foreign_transaction_takes_the_nonce__action_gets_a_new_one(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, events: Events
) -> None:
    """flt:F5 The key is also used by hand: nonce read again, queue does not stick, no intent is lost."""
    rpc.request("evm_setAutomine", False)
    outbox, to, by_hand_to = open_outbox(), fresh_address(5), fresh_address(6)
    for number in range(3):
        outbox.submit(f"pay:{number}", to, value=1)
    outbox.pump()
    rpc.request("anvil_dropAllTransactions")
    by_hand(rpc, signer, by_hand_to, 7, at_nonce=0)
    mine(rpc)
    for number in range(3):
        pump_until(outbox, f"pay:{number}", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 3 and balance(rpc, by_hand_to) == 7
    assert nonce(rpc, signer.address) == 4
    assert events.named("outbox_foreign_transaction")[0]["nonce"] == 0


def test_pump__foreign_transaction_waits_in_the_pool__its_nonce_is_left_alone(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F5"""
    rpc.request("evm_setAutomine", False)
    by_hand_to, to = fresh_address(7), fresh_address(8)
    by_hand(rpc, signer, by_hand_to, 7)
    outbox = open_outbox()
    outbox.submit("pay", to, value=1)
    outbox.pump()
    status = outbox.status("pay")
    assert isinstance(status, Pending) and status.nonce == 1
    mine(rpc)
    pump_until(outbox, "pay", Mined)
    assert balance(rpc, to) == 1 and balance(rpc, by_hand_to) == 7


def test_pump__base_fee_times_100__raises_to_the_cap_then_waits_urgent_first(
    rpc: Rpc, open_outbox: Open, events: Events
) -> None:
    """flt:F19 Bumps up to its cap, then waits; transactions near a deadline go first."""
    rpc.request("evm_setAutomine", False)
    base = read_moment(rpc).base_fee
    to, urgent_to = fresh_address(11), fresh_address(12)
    outbox = open_outbox(fee_cap=Wei(10 * base), urgent_fee_cap=Wei(400 * base), urgent_before_s=600)
    outbox.submit("early", to, value=1)
    outbox.pump()

    def spike() -> None:
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(100 * base))
        mine(rpc)

    for _ in range(6):
        spike()
        outbox.pump()
    status = outbox.status("early")
    assert isinstance(status, Pending) and "cap" in str(status.blocked)
    raised = [fields["max_fee"] for fields in events.named("outbox_replaced")]
    assert raised and max(raised) <= 10 * base

    outbox.submit("late", to, value=1)
    outbox.submit("urgent", urgent_to, value=1, deadline=read_moment(rpc).timestamp + 500)
    pump_until(outbox, "urgent", Mined, each=spike)
    assert balance(rpc, urgent_to) == 1
    waiting = outbox.status("late")
    assert isinstance(waiting, Pending) and waiting.nonce is None

    rpc.request("anvil_setNextBlockBaseFeePerGas", hex(base))
    for key in ("early", "late"):
        pump_until(outbox, key, Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 2


def test_pump__blocks_many_a_second__waits_some_seconds_before_it_replaces(rpc: Rpc, open_outbox: Open) -> None:
    """Blocks say nothing about a fee where three come in a moment; a soak went down in replacements of that kind. beh:L18"""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(replace_after_blocks=0, replace_after_s=1.5), fresh_address(31)
    outbox.submit("pay", to, value=1)
    began = time.monotonic()
    while len(_hashes(outbox, "pay")) < 2:
        outbox.pump()
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    assert time.monotonic() - began >= 1.5
    pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 1


def _hashes(outbox: Outbox, key: str) -> tuple[bytes, ...]:
    status = outbox.status(key)
    assert isinstance(status, Pending)
    return status.hashes


def test_pump__mempool_drops_it__sent_again_by_the_same_bytes(rpc: Rpc, open_outbox: Open, signer: LocalSigner) -> None:
    """flt:F20"""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(rebroadcast_after_s=0.2), fresh_address(13)
    outbox.submit("pay", to, value=2)
    outbox.pump()
    (hash_,) = outbox.status("pay").hashes  # type: ignore[union-attr]
    rpc.request("anvil_dropTransaction", "0x" + hash_.hex())
    assert rpc.request("eth_getTransactionByHash", "0x" + hash_.hex()) is None
    mined = pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert mined.receipt.transaction_hash == hash_ and balance(rpc, to) == 2


def test_pump__mempool_drops_it_and_blocks_go_by__found_missing_without_a_timer(rpc: Rpc, open_outbox: Open) -> None:
    """flt:F20 The lowest transaction is asked for after a few blocks; unknown means sent again, not replaced."""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(rebroadcast_after_s=3600), fresh_address(14)
    outbox.submit("pay", to, value=2)
    outbox.pump()
    (hash_,) = outbox.status("pay").hashes  # type: ignore[union-attr]
    rpc.request("anvil_dropTransaction", "0x" + hash_.hex())
    mined = pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert mined.receipt.transaction_hash == hash_ and balance(rpc, to) == 2


def test_pump__only_the_lower_nonce_dropped__queue_flows_again(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F21 A gap of ours is closed by our own bytes."""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(rebroadcast_after_s=0.2), fresh_address(15)
    for number in range(3):
        outbox.submit(f"pay:{number}", to, value=1)
    outbox.pump()
    (lowest,) = outbox.status("pay:0").hashes  # type: ignore[union-attr]
    rpc.request("anvil_dropTransaction", "0x" + lowest.hex())
    for number in range(3):
        pump_until(outbox, f"pay:{number}", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 3 and nonce(rpc, signer.address) == 3


def test_pump__foreign_transaction_below_ours_vanishes__filler_closes_the_gap(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, events: Events
) -> None:
    """flt:F21 flt:F15 A nonce that none of our bytes can fill gets an empty transfer."""
    rpc.request("evm_setAutomine", False)
    outbox, to, by_hand_to = open_outbox(gap_grace_s=0.1, rebroadcast_after_s=0.2), fresh_address(16), fresh_address(17)
    mine(rpc, 3)
    by_hand(rpc, signer, by_hand_to, 7)
    mine(rpc)
    outbox.submit("pay", to, value=1)
    outbox.pump()
    mine(rpc)
    pump_until(outbox, "pay", Mined)
    rpc.request("anvil_reorg", 2, [])
    assert nonce(rpc, signer.address) == 0
    pump_until(outbox, "pay", Pending)
    pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert events.named("outbox_gap_filled")[0]["nonce"] == 0
    assert balance(rpc, to) == 1 and nonce(rpc, signer.address) == 2


def test_wait__no_coin__names_the_missing_sum_and_goes_out_once_funded(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, events: Events
) -> None:
    """flt:F23 (the outbox's part) Alerts with the missing sum; the action stays and goes out by itself."""
    rpc.request("anvil_setBalance", signer.address, hex(1000))
    outbox, to = open_outbox(), fresh_address(18)
    outbox.submit("pay", to, value=5_000)
    with pytest.raises(InsufficientFunds) as caught:
        outbox.wait("pay", 10)
    missing = caught.value.figures["missing_wei"]
    rpc.request("anvil_setBalance", signer.address, hex(1000 + missing - 1))
    mine(rpc)
    outbox.pump()
    assert isinstance(outbox.status("pay"), Pending)
    assert events.named("outbox_blocked")[0]["code"] == "insufficient-funds"
    rpc.request("anvil_setBalance", signer.address, hex(10**18))
    mine(rpc)
    assert outbox.wait("pay", 10).succeeded and balance(rpc, to) == 5_000


def test_pump__pool_sees_coin_later_than_the_state__is_sent_again_and_nobody_is_asked_for_coin(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open, events: Events
) -> None:
    """flt:F23 geth refuses for a moment what is paid with coin that it has just mined."""
    refused: list[str] = []

    def lag(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] != "eth_sendRawTransaction" or len(refused) == 2:
            return answer
        refused.append(request["params"][0])
        rpc.request("anvil_dropAllTransactions")
        reason = "insufficient funds for gas * price + value: balance 0, tx cost 21, overshot 21"
        return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": reason}}

    rpc.request("evm_setAutomine", False)
    proxy.rewrite = lag
    outbox, to = open_outbox(rpc=Rpc(RpcConfig((proxy.url,), CHAIN))), fresh_address(28)
    outbox.submit("pay", to, value=3)
    for _ in range(3):
        outbox.pump()
    mine(rpc)
    assert outbox.wait("pay", 10).succeeded and balance(rpc, to) == 3
    assert len(refused) == 2 and not events.named("outbox_blocked")


def test_pump__chain_that_goes_on_asking_for_coin__is_told(rpc: Rpc, proxy: FaultProxy, open_outbox: Open, events: Events) -> None:
    """flt:F23 Some chains want more than gas, such as for data: what is there by our sum does not do."""

    def refuse(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] != "eth_sendRawTransaction":
            return answer
        rpc.request("anvil_dropAllTransactions")
        return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "insufficient funds for l1 fee"}}

    rpc.request("evm_setAutomine", False)
    proxy.rewrite = refuse
    outbox = open_outbox(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    outbox.submit("pay", fresh_address(29), value=3)
    outbox.pump()
    assert not events.named("outbox_blocked")
    for _ in range(4):
        mine(rpc)
        outbox.pump()
    with pytest.raises(InsufficientFunds):
        outbox.wait("pay", 10)


def test_pump__too_little_coin_for_all__nearest_deadline_gets_it(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F23 Obligations first: a cheaper transaction that is less pressing does not overtake."""
    time_ = read_moment(rpc).timestamp
    outbox, to, pressing_to = open_outbox(), fresh_address(19), fresh_address(20)
    outbox.submit("cheap", to, value=1)
    outbox.submit("pressing", pressing_to, value=10**17, deadline=time_ + 3600)
    rpc.request("anvil_setBalance", signer.address, hex(10**17))
    for _ in range(4):
        outbox.pump()  # at one and the same block
    mine(rpc)
    outbox.pump()
    assert nonce(rpc, signer.address) == 0
    rpc.request("anvil_setBalance", signer.address, hex(10**17 + 21_000 * 20 * GWEI))
    mine(rpc)
    pump_until(outbox, "pressing", Mined)
    assert balance(rpc, pressing_to) == 10**17


def test_pump__deadline_passed_while_queued__nothing_is_sent(rpc: Rpc, open_outbox: Open, signer: LocalSigner) -> None:
    """flt:F30 (the outbox's part) Sends nothing stale."""
    outbox = open_outbox()
    outbox.submit("pay", fresh_address(21), value=1, deadline=read_moment(rpc).timestamp + 5)
    rpc.request("evm_increaseTime", 600)
    mine(rpc)
    outbox.pump()
    status = outbox.status("pay")
    assert isinstance(status, Failed) and isinstance(status.error, DeadlinePassed)
    assert nonce(rpc, signer.address) == 0


def test_pump__deadline_passed_while_in_flight__nonce_is_taken_back(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, emitter: Contract
) -> None:
    """flt:F30 Signed bytes are replaced by an empty transfer of the same nonce; what stands behind them goes on."""
    rpc.request("evm_setAutomine", False)
    outbox, to, behind_to = open_outbox(), fresh_address(22), fresh_address(23)
    outbox.submit("pay", to, value=1, deadline=read_moment(rpc).timestamp + 30)
    outbox.submit("behind", behind_to, value=1)
    outbox.pump()
    rpc.request("anvil_dropAllTransactions")
    rpc.request("evm_increaseTime", 600)
    mine(rpc)
    status = pump_until(outbox, "pay", Failed, each=lambda: mine(rpc))
    assert isinstance(status.error, DeadlinePassed)
    outbox._sent_at.clear()
    pump_until(outbox, "behind", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 0 and balance(rpc, behind_to) == 1 and nonce(rpc, signer.address) == 2


def test_pump__endpoint_turns_to_another_chain__signs_nothing(rpc: Rpc, proxy: FaultProxy, open_outbox: Open) -> None:
    """flt:F13 Refuses to sign and names both ids."""
    client = Rpc(RpcConfig((proxy.url,), CHAIN))
    outbox = open_outbox(rpc=client)
    outbox.submit("pay", fresh_address(24), value=1)
    proxy.chain_id = 5
    with pytest.raises(WrongChain, match=r"chain 5.*1337"):
        outbox.pump()
    status = outbox.status("pay")
    assert isinstance(status, Pending) and not status.hashes and not proxy.raw_transactions
    proxy.chain_id = None
    assert outbox.wait("pay", 10).succeeded


def test_pump__chain_was_started_anew__refuses_to_replay(
    start_anvil: Any, tmp_path: Any, open_outbox: Open, rpc: Rpc, chain: Any
) -> None:
    """flt:F40 Stored bytes of the old chain never reach the new one, although key, nonce and chain id fit."""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(), fresh_address(25)
    outbox.submit("pay", to, value=1)
    outbox.pump()
    chain.stop()
    time.sleep(1.1)  # anvil's first block carries the second of its start
    chain.start()
    for candidate in (outbox, open_outbox()):
        with pytest.raises(ChainReset, match="started anew"):
            candidate.pump()
    assert balance(rpc, to) == 0


def test_pump__chain_away__raises_and_goes_on_later(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F6"""
    client = Rpc(RpcConfig((proxy.url,), CHAIN, total_timeout_s=0.3))
    outbox, to = open_outbox(rpc=client), fresh_address(26)
    outbox.submit("pay", to, value=1)
    proxy.stop()
    with pytest.raises(ChainUnreachable):
        outbox.pump()
    with pytest.raises(TransactionTimeout):
        outbox.wait("pay", 0.5)
    proxy.start()
    assert outbox.wait("pay", 10).succeeded and nonce(rpc, signer.address) == 1


def test_withdraw__queued_or_signed__only_the_queued_is_forgotten(rpc: Rpc, open_outbox: Open) -> None:
    rpc.request("evm_setAutomine", False)
    outbox = open_outbox()
    outbox.submit("signed", fresh_address(27), value=1)
    outbox.pump()
    outbox.submit("queued", fresh_address(27), value=1)
    assert not outbox.withdraw("signed") and not outbox.withdraw("unknown")
    assert outbox.withdraw("queued") and outbox.status("queued") is None


def test_withdraw__signed_and_not_mined__is_cancelled(rpc: Rpc, open_outbox: Open) -> None:
    """The nonce is used up by an empty transfer, so what stands behind flows, with the coin that was held."""
    to = fresh_address(127)
    rpc.request("evm_setAutomine", False)
    outbox = open_outbox()
    outbox.submit("pay", to, value=1)
    outbox.pump()
    for _ in range(2):  # saying it twice changes nothing
        assert not outbox.withdraw("pay")
    outbox.pump()
    rpc.request("evm_mine")
    outbox.pump()
    status = outbox.status("pay")
    assert isinstance(status, Failed) and "taken back" in status.error.message
    assert balance(rpc, to) == 0
    assert not outbox.withdraw("pay"), "it is over"


def test_withdraw__mined__only_what_is_too_deep_to_vanish_is_forgotten(rpc: Rpc, open_outbox: Open) -> None:
    outbox = open_outbox(finality_blocks=2)
    outbox.submit("pay", fresh_address(128), value=1)
    outbox.wait("pay", 10)
    assert not outbox.withdraw("pay")
    rpc.request("anvil_mine", "0x3")
    outbox.pump()
    assert isinstance(outbox.status("pay"), Mined)
    assert outbox.withdraw("pay") and outbox.status("pay") is None


def test_pump__transaction_node_never_accepts__is_given_up_and_nonce_reused(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open
) -> None:
    """Permanent refusals close the action (no endless retry), and what stands behind flows."""
    client = Rpc(RpcConfig((proxy.url,), CHAIN))
    outbox = open_outbox(rpc=client)
    refused: list[str] = []

    def refuse_first(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_sendRawTransaction" and (not refused or request["params"][0] in refused):
            refused.append(request["params"][0])
            rpc.request("anvil_dropAllTransactions")
            return {
                "jsonrpc": "2.0",
                "id": request["id"],
                "error": {"code": -32000, "message": "exceeds block gas limit"},
            }
        return answer

    rpc.request("evm_setAutomine", False)
    proxy.rewrite = refuse_first
    to = fresh_address(29)
    outbox.submit("pay", to, value=1)
    status = pump_until(outbox, "pay", Failed, each=lambda: mine(rpc))
    assert "exceeds block gas limit" in status.error.message and status.error.code == "transaction-refused"
    outbox.submit("next", to, value=2)
    pump_until(outbox, "next", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 2
    assert isinstance(outbox.status("pay"), Failed)


def test_open__chain_id_of_the_signature__is_the_one_given(rpc: Rpc, open_outbox: Open) -> None:
    """The signed bytes are bound to the chain, so that no other chain can replay them."""
    from eth_account import Account

    rpc.request("evm_setAutomine", False)
    outbox = open_outbox()
    outbox.submit("pay", fresh_address(30), value=1)
    outbox.pump()
    row = outbox._store.attempts([outbox._store.by_key("pay")])  # type: ignore[list-item]
    (attempt,) = next(iter(row.values()))
    assert Account.recover_transaction(attempt.raw) == outbox._signer.address
    assert int(rpc.request("eth_getTransactionByHash", "0x" + attempt.hash.hex())["chainId"], 16) == ChainId(1337)


def test_pump__node_sends_the_receipt_of_another_transaction__is_not_believed(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open, signer: LocalSigner
) -> None:
    """A lying node cannot make an action look done."""
    client = Rpc(RpcConfig((proxy.url,), CHAIN))
    outbox = open_outbox(rpc=client)
    outbox.submit("real", fresh_address(34), value=1)
    outbox.wait("real", 10)
    rpc.request("evm_setAutomine", False)
    outbox.submit("pay", fresh_address(34), value=1)
    outbox.pump()
    first = outbox.status("real").receipt.transaction_hash  # type: ignore[union-attr]

    def lie(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_getTransactionCount":
            return {**answer, "result": "0x2"}
        if request["method"] == "eth_getTransactionReceipt":
            truth = rpc.request("eth_getTransactionReceipt", "0x" + first.hex())
            return {**answer, "result": truth}
        return answer

    proxy.rewrite = lie
    with pytest.raises(RpcError, match="receipt of another"):
        outbox.pump()
    proxy.rewrite = None
    assert isinstance(outbox.status("pay"), Pending)
    pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert nonce(rpc, signer.address) == 2
