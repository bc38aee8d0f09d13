"""F5, F15 to F23, F30 and F40: what the chain, its fees, its pool and its clock may do."""

from __future__ import annotations

import signal as signals
import sqlite3
import time
from typing import Any

from lilypad_agents.agents.provider.store import ProviderStore
from lilypad_agents.chain.database import Database
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import FINAL, Status
from lilypad_agents.protocol.opening import Settling, opening_of, settlements_of
from tests.faults.ledger import events
from tests.faults.places import KEEPER, MEDIATOR
from tests.faults.run import BACK_S, Run, fault
from tests.faults.rpc_faults import sent_are_stored
from tests.faults.scene import Scene
from tests.faults.scenes import MediatorScene, ProviderScene, SolverScene
from tests.support.chain import GWEI, by_hand, fresh_address, nonce
from tests.support.evm import HISTORY
from tests.support.network import signer

SENDING = {"provider": ("settling",), "solver": ("opening",)}  # a transaction of the agent waits in the pool
SENT = {"provider": ("submitted",), "mediator": ("committed", "revealed"), "solver": ("opened",)}  # its last one is mined
RESEND_S = 60.0


@fault("F5", {**SENDING, **MEDIATOR, **KEEPER})
def key_is_used_by_hand(run: Run) -> None:
    scene = run.begin()
    account, to = scene.key, fresh_address(5)

    def use() -> None:
        if run.state in ("settling", "opening"):
            scene.network.rpc.request("anvil_dropAllTransactions")
        by_hand(scene.network.rpc, account, to, 7)
        scene.mine()

    run.inject(use)
    run.end()
    run.expect(int(scene.network.rpc.request("eth_getBalance", to, "latest"), 16) == 7, "the transaction by hand is lost")
    sent_are_stored(run, scene)


@fault("F15", SENT)
def reorganisation_drops_our_transaction(run: Run) -> None:
    """Of a depth that takes our last transactions and nobody else's, with the dropped ones or without."""
    scene = run.begin()
    scene.until(lambda: _all_recorded(scene), told="a receipt was not seen")  # what never was cannot vanish
    scene.mine(run.rng.randint(0, 3))
    mine, others = _blocks_of(scene)
    own = [block for block in mine if block > max(others, default=0)]
    run.expect(own, "nothing of ours is above everybody else's")
    before, target = _receipts(scene), run.rng.choice(own)
    depth = scene.head() - target + 1
    run.inject(lambda: _reorganise(scene, target))
    run.notice(lambda: run.told("outbox_receipt_vanished"), 20, "no word of it")
    run.mend(scene.mine)
    run.recover(lambda: _mined_again(scene, before), 20, "the same bytes are mined again")
    scene.finish(90)
    run.notes.append(f"depth {depth}")


def _reorganise(scene: Scene, target: int) -> None:
    """Replaces all blocks from `target` on; again where one that came meanwhile made the depth one too few."""
    rpc = scene.network.rpc
    gone = rpc.request("eth_getBlockByNumber", hex(target), False)["hash"]
    while rpc.request("eth_getBlockByNumber", hex(target), False)["hash"] == gone:
        rpc.request("anvil_reorg", scene.head() - target + 1, [])


def _blocks_of(scene: Scene) -> tuple[list[int], list[int]]:
    """Blocks of the agent's transactions, and of everybody else's."""
    mine, others = [], []
    for number in range(scene.since + 1, scene.head() + 1):
        block = scene.network.rpc.request("eth_getBlockByNumber", hex(number), True)
        for item in block["transactions"]:
            (mine if item["from"].lower() == scene.key.address.lower() else others).append(number)
    return mine, others


def _all_recorded(scene: Scene) -> bool:
    """Whether the outbox knows the receipts of all that it sent."""
    database = sqlite3.connect(f"file:{scene.agent.data / 'agent.sqlite'}?mode=ro", uri=True)
    try:
        return not database.execute("SELECT 1 FROM outbox_action WHERE state IN ('queued', 'sent')").fetchall()
    finally:
        database.close()


def _receipts(scene: Scene) -> dict[str, str]:
    """Blocks of the outbox's transactions by their hash."""
    database = sqlite3.connect(f"file:{scene.agent.data / 'agent.sqlite'}?mode=ro", uri=True)
    try:
        hashes = ["0x" + bytes(row[0]).hex() for row in database.execute("SELECT hash FROM outbox_attempt")]
    finally:
        database.close()
    found = {hash_: scene.network.rpc.request("eth_getTransactionReceipt", hash_) for hash_ in hashes}
    return {hash_: receipt["blockHash"] for hash_, receipt in found.items() if receipt is not None}


def _mined_again(scene: Scene, before: dict[str, str]) -> bool:
    now = _receipts(scene)
    return set(before) <= set(now) and any(now[hash_] != block for hash_, block in before.items())


@fault("F16", {"mediator": ("challenged",), "keeper": ("challenged",)})
def randomness_is_late(run: Run) -> None:
    """Nobody draws until the block that was to decide can no longer be had."""
    scene = run.make()
    assert isinstance(scene, MediatorScene)
    scene.network.rpc.request("anvil_setCode", HISTORY, "0x")  # hashes of the last 256 blocks, as before EIP-2935
    scene.start()
    case = scene.challenge()
    scene.until(lambda: scene.court.events("RoundQueued", case), told="no round was queued")
    scene.agent.kill()
    if run.role == "keeper":
        scene.other.kill()  # type: ignore[attr-defined]
    run.inject(lambda: [scene.mine(100) for _ in range(3)])
    scene.start()
    run.end()
    drawn, postponed = scene.court.events("SeatsDrawn", case), scene.court.pool_events("RoundPostponed")
    run.expect(len(drawn) == 1, f"seats were drawn {len(drawn)} times")
    run.expect(postponed, "the round was not postponed")


@fault("F17", {"provider": ("agreed", "running", "submitted"), "solver": ("opened",)})
def reorganisation_is_deep(run: Run) -> None:
    """Everything since before the deal is gone, and the deal with it."""
    scene = run.make(changes={"confirmations": 0})
    scene.start()
    snapshot = scene.network.rpc.request("evm_snapshot")
    scene.reach(run.state)
    scene.until(lambda: _is_known(scene), 20, "the agent does not see the deal")  # what it never saw cannot vanish for it
    gone = list(scene.deals)
    # The stored bytes of a result go out again, as after any reorganisation (F15); without its deal that reverts.
    scene.reverts = int(run.role == "provider" and run.state == "submitted")
    run.inject(lambda: scene.network.rpc.request("evm_revert", snapshot))
    scene.deals.clear()
    scene.mine(3)
    run.notice(lambda: [line for line in run.told("deal_vanished") if line.get("alert")], 20, "no loud alert")
    run.mend(lambda: scene.relay.faults.clear())
    if run.role == "provider":
        scene.until(lambda: _runs(scene) == 0, 20, "it works on for a deal that vanished")
        run.expect(all(scene.status(deal) is Status.NONE for deal in gone), "something was done for a vanished deal")
        assert isinstance(scene, ProviderScene)
        scene.accepts = True
        scene.open({"Message": "after the reorganisation"}, submit_window=120)
    run.recover(scene.ready, BACK_S)
    scene.finish(90)


def _is_known(scene: Scene) -> bool:
    """Whether the agent has noted the scene's deals."""
    database = sqlite3.connect(f"file:{scene.agent.data / 'agent.sqlite'}?mode=ro", uri=True)
    try:
        known = {bytes(row[0]) for row in database.execute("SELECT id FROM deal")}
    finally:
        database.close()
    return known.issuperset(scene.deals)


def _runs(scene: Scene) -> int:
    """How many jobs have a process."""
    jobs = scene.agent.data / "work" / "jobs"
    return sum((job / "process").exists() for job in jobs.iterdir()) if jobs.exists() else 0


@fault("F18", {"provider": ("agreed", "running")})
def rival_gets_the_offer(run: Run) -> None:
    """The opening is undone, and in its place the job goes to somebody else."""
    scene = run.make()
    assert isinstance(scene, ProviderScene)
    stage, rpc = scene.stage, scene.network.rpc
    scene.start()
    scene.until(lambda: stage.relay.offers, 20, "it offers nothing")
    module = stage.module("primes")
    job = {"submit_window": 600}
    pair = stage.pair(module, stage.inputs(module, {"Limit": 3_000_000_000}), job)
    rival = _rival(scene, pair)
    snapshot = rpc.request("evm_snapshot")
    if run.state == "agreed":
        scene.relay.faults.add("no content")
    stage.open(pair)
    scene.until(lambda: _runs(scene) == (run.state == "running"), 20)
    scene.rest(0.5)

    def turn() -> None:
        rpc.request("evm_revert", snapshot)
        scene.spared.extend(deal_id for deal_id, _ in stage.open(rival))
        scene.mine(2)

    run.inject(turn)
    run.notice(lambda: run.told("deal_vanished"), 20, "it did not see that its deal is gone")
    scene.relay.faults.clear()
    run.mend(lambda: None)
    run.recover(lambda: _runs(scene) == 0 and scene.ready(), 10, "the slot is free")
    scene.until(lambda: stage.relay.offers, 20, "it does not offer again")
    scene.pass_time(620)
    for deal in events(scene.network, "Lilypad", "DealOpened"):
        scene.network.send(0, "LilypadResolver", "timeoutSubmit", deal["record"])
    scene.deals = list(scene.spared)
    scene.finish(20)


def _rival(scene: ProviderScene, pair: Any) -> Any:
    key = signer(3)
    scene.network.fund([key.address])
    offer = scene.network.resource(key.address)
    return pair._replace(resource=offer, resource_signature=scene.network.sign(offer, key))


@fault("F19", SENDING)
def base_fee_rises_a_hundredfold(run: Run) -> None:
    """What presses bumps up to its own cap; the rest waits at the ordinary one until fees fall."""
    scene = run.make(changes={"fee_cap_gwei": 20, "urgent_fee_cap_gwei": 1_000})
    rpc = scene.network.rpc
    scene.start()
    scene.reach(run.state)
    base = max(GWEI, int(rpc.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16))

    def spike() -> None:
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(100 * base))
        scene.mine()
        time.sleep(0.3)

    run.inject(spike)
    if run.role == "provider":  # by the reveal deadline, closer than two minutes here, it has to settle: that presses
        run.notice(lambda: spike() or run.told("outbox_mined", "settle:"), 30, "the settlement did not go out")
        run.expect(any(line["max_fee"] > 20 * GWEI for line in run.told("outbox_replaced")), "it went out below the base fee")
    else:
        run.notice(lambda: spike() or run.told("outbox_blocked", "cap"), 30, "no word of the cap")
        raised = [line["max_fee"] for line in scene.agent.log("outbox_replaced")]
        run.expect(all(fee <= 20 * GWEI for fee in raised), f"it went beyond its cap: {raised}")
        run.expect(raised, "it did not raise its fee up to the cap")
    if run.role == "provider":  # an obligation with a deadline goes out all the same
        assert isinstance(scene, ProviderScene)
        scene.accepts = False
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(base))
        urgent = scene.stage.pair(module := scene.stage.module(), scene.stage.inputs(module, {"Message": "urgent"}), {"submit_window": 60})
        rpc.request("evm_setAutomine", True)
        deal, _ = scene.stage.open(urgent)[0]
        scene.deals.append(deal)
        rpc.request("evm_setAutomine", False)
        scene.until(lambda: spike() or scene.status(deal) is Status.RESULTS_SUBMITTED, 40, "the urgent one did not go out")
    run.mend(lambda: rpc.request("anvil_setNextBlockBaseFeePerGas", hex(base)))
    run.end()


@fault("F20", SENDING)
def pool_drops_a_transaction(run: Run) -> None:
    scene = run.begin()
    run.inject(lambda: scene.network.rpc.request("anvil_dropAllTransactions"))
    run.mend(scene.release)
    run.recover(lambda: scene.deals and scene.ended(), RESEND_S, "the transaction is mined")
    sent_are_stored(run, scene)


@fault("F21", {"provider": ("settling",), "solver": ("opening",)})
def pool_drops_the_lower_nonce(run: Run) -> None:
    scene = run.begin()
    lower = _pool(scene)
    if isinstance(scene, ProviderScene):
        scene.network.rpc.request("evm_setAutomine", False)
        second = _second_settlement(scene)
        run.notes.append(f"second deal {hex_of(second)[:10]}")
    else:
        assert isinstance(scene, SolverScene)
        scene.offer_job()
    scene.until(lambda: len(_pool(scene)) >= 2, 30, "there is no second transaction")
    run.inject(lambda: [scene.network.rpc.request("anvil_dropTransaction", hash_) for hash_ in lower])
    run.mend(scene.release)
    run.recover(scene.ended, RESEND_S, "the queue flows")
    scene.finish(30)
    sent_are_stored(run, scene)
    first = scene.since
    run.expect(nonce(scene.network.rpc, scene.key.address) >= 2, f"the queue did not flow since block {first}")


def _pool(scene: Scene) -> list[str]:
    """Hashes of the agent's transactions in the pool, lowest nonce first."""
    found = scene.network.rpc.request("txpool_content")
    mine = {
        int(nonce_): item["hash"]
        for part in found.values() for account, items in part.items() if account.lower() == scene.key.address.lower()
        for nonce_, item in items.items()
    }  # fmt: skip
    return [mine[nonce_] for nonce_ in sorted(mine)]


def _second_settlement(scene: ProviderScene) -> Any:
    """A second deal whose result is posted behind the pending settlement: the result waits in the pool as well."""
    module = scene.stage.module()
    pair = scene.stage.pair(module, scene.stage.inputs(module, {"Message": "second"}), {"submit_window": 300})
    # The opening is mined alone: of the pool's transactions it pays the most, and the block has room for nothing else.
    core, sender = scene.network.contracts.core, scene.stage.creator.address
    scene.network.rpc.request("anvil_impersonateAccount", sender)
    raw = [scene.network.rpc.request("eth_getRawTransactionByHash", hash_) for hash_ in _pool(scene)]
    scene.network.rpc.request("anvil_dropAllTransactions")
    call = {"from": sender, "to": core.address, "data": hex_of(core.encode("open", opening_of([pair]))), "gas": hex(1_500_000)}
    scene.network.rpc.request("eth_sendTransaction", call)
    scene.mine()
    for transaction in raw:
        scene.network.rpc.request("eth_sendRawTransaction", transaction)
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool).id(scene.network.domain)
    scene.deals.append(deal)
    return deal


@fault("F22", SENDING)
def rival_is_mined_first(run: Run) -> None:
    """The simulation passed, the chain has moved on by the time it is mined."""
    scene = run.begin()
    scene.reverts = 1
    rpc, core = scene.network.rpc, scene.network.contracts.core
    if isinstance(scene, ProviderScene):
        sender, data = scene.stage.creator.address, _settlement(scene)
    else:
        assert isinstance(scene, SolverScene)
        offer, _ = scene.jobs[0]
        sender, data = scene.creator.address, core.encode("cancel", scene.creator.address, False, [offer.nonce])
    rpc.request("anvil_impersonateAccount", sender)
    call = {"from": sender, "to": core.address, "data": hex_of(data), "gas": hex(500_000),
            "maxFeePerGas": hex(200 * GWEI), "maxPriorityFeePerGas": hex(50 * GWEI)}  # fmt: skip
    run.inject(lambda: (rpc.request("eth_sendTransaction", call), scene.mine()))
    if isinstance(scene, ProviderScene):
        run.notice(lambda: run.told("action_failed", "DealNotIn"), 30, "the reason was not decoded")
        run.mend(scene.release)
        scene.finish(60)
    else:
        scene.offers_resource = False
        ended = lambda: scene.client(scene.creator).offer(offer.struct_hash).state == "cancelled"  # noqa: E731
        run.notice(ended, 30, "the reason was not read")
        run.mend(scene.release)
        scene.jobs.clear()
        scene.offer_job()
        scene.finish(60)
    run.recover(scene.ready, 10)


def _settlement(scene: ProviderScene) -> bytes:
    """The settlement that the provider sent, as somebody else would send it: its own result, without an agreement."""
    deal_id = scene.deals[0]
    database = Database.open(scene.agent.data / "agent.sqlite")
    try:
        result = ProviderStore(database).result(deal_id)
    finally:
        database.close()
    (opened,) = [event for event in events(scene.network, "Lilypad", "DealOpened") if event["dealId"] == deal_id]
    assert result is not None
    return scene.network.contracts.core.encode(
        "settle", settlements_of([Settling(Deal.from_words(opened["record"]), result.opening.words)])[0]
    )


@fault("F23", {"provider": ("agreed",), "mediator": ("challenged",), "keeper": ("challenged",), "solver": ("waiting",)})
def no_coin_for_gas(run: Run) -> None:
    scene = run.make()
    scene.start()
    account, rpc = scene.key.address, scene.network.rpc
    run.inject(lambda: rpc.request("anvil_setBalance", account, hex(10**9)))
    scene.reach(run.state)
    scene.release()
    run.notice(lambda: run.told("outbox_blocked") or scene.troubled("gas"), 60, "no alert")
    told = str(scene.agent.log("outbox_blocked")) + str(scene.agent.log("not_offering"))
    run.expect("wei" in told, f"the missing sum is not named: {told[:200]}")
    run.mend(lambda: rpc.request("anvil_setBalance", account, hex(10**20)))
    scene.finish(90)
    run.recover(scene.ready, 90)


@fault("F30", {"provider": ("agreed", "running", "submitted"), **MEDIATOR, **KEEPER, "solver": ("waiting", "opened")})
def suspended_while_ten_minutes_pass(run: Run) -> None:
    scene = run.begin()
    scene.endings = FINAL

    def sleep() -> None:
        scene.agent.signal(signals.SIGSTOP)
        scene.pass_time(590 if run.role == "solver" else 610)

    run.inject(sleep)
    run.mend(lambda: scene.agent.signal(signals.SIGCONT))
    run.recover(scene.ready, BACK_S)
    scene.finish(90)


@fault("F40", {"provider": ("agreed", "submitted"), "mediator": ("challenged",), "solver": ("waiting", "opened")})
def chain_is_started_anew(run: Run) -> None:
    """The deal ends first, so that the audit has a chain to look at; then the chain forgets everything."""
    scene = run.begin()
    scene.finish(90)
    found = scene.audit()
    scene.audit = lambda: found  # type: ignore[method-assign]
    chain = scene.network.chain

    def anew() -> None:
        chain.kill()
        time.sleep(1.1)  # the first block carries the second of its start
        chain.start()

    run.inject(anew)
    run.notice(lambda: not scene.agent.alive, 60, "it goes on", play=False)
    told = str(scene.agent.ended())
    run.expect("chain-reset" in told, f"it ended by {told[:200]}")
    run.expect("clean" in told, "it does not say how to start clean")
    scene.agent.start()
    code = scene.agent.wait(20)
    run.expect(code not in (0, None), "a new life does not refuse")
    run.notes.append(str(scene.agent.ended().get("code")))


