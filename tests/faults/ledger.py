"""What the chain says about a run: actions that should not have been, money that is not where it belongs, deals that hang.

Nothing is asked of an agent. Balances are rebuilt from events by `tests.faults.replay`, which also refuses a deal
that opens or ends twice or whose payouts are not what it locked; then every account is compared with the chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from tests.faults.replay import Replay
from tests.support.evm import Log
from tests.support.network import Network

Sent = tuple[str, str, str]  # sender, contract, calldata


@dataclass(frozen=True)
class Findings:
    """`wrong`: one sentence an action. `money`: "" when conserved, else what is off. `open`: deals that did not end."""

    wrong: tuple[str, ...]
    money: str
    open: tuple[str, ...]
    endings: Mapping[str, Status]
    transactions: int


def audit(network: Network, accounts: Iterable[str], since: int, *, reverts: int = 0) -> Findings:
    """Findings about the transactions of `accounts` (the agents' own) after block `since`. `reverts`: how many may fail."""
    replay, money = _replay(network)
    wrong = [*_repeated(network, {account.lower() for account in accounts}, since, reverts), *_doubled(network)]
    endings = {hex_of(deal_id): state.status for deal_id, state in replay.states.items()}
    hanging = tuple(deal for deal, status in endings.items() if not status.is_final)
    sent = len(_transactions(network, {account.lower() for account in accounts}, since))
    return Findings(tuple(wrong), money or _balances(network, replay), hanging, endings, sent)


# ---- events


def events(network: Network, contract: str, *names: str) -> list[dict[str, Any]]:
    """Arguments of events in chain order, with `name`, `block` and `transaction`."""
    target = network.contracts[contract]
    wanted = {event.topic: event for event in target.abi.events_by_topic.values() if not names or event.name in names}
    topics = [["0x" + topic.hex() for topic in wanted]]
    query = {"address": target.address, "fromBlock": "0x0", "toBlock": "latest", "topics": topics}
    found = []
    for log in network.rpc.request("eth_getLogs", query):
        event = wanted[to_bytes(log["topics"][0])]
        arguments = event.decode([to_bytes(topic) for topic in log["topics"]], to_bytes(log["data"]))
        found.append(
            dict(arguments) | {"name": event.name, "block": quantity(log["blockNumber"]), "index": quantity(log["logIndex"]),
                    "transaction": log["transactionHash"]}
        )  # fmt: skip
    return found


def deal_events(network: Network) -> list[dict[str, Any]]:
    """Of core and resolver, in chain order."""
    found = [*events(network, "Lilypad"), *events(network, "LilypadResolver")]
    return sorted(found, key=lambda event: (event["block"], event["index"]))


# ---- money


def _replay(network: Network) -> tuple[Replay, str]:
    """Everything rebuilt from events, and the first event that makes no sense ("" for none)."""
    replay = Replay(network.parameters.protocol_fee_bps)
    blocks = _blocks(network, {event["block"] for event in deal_events(network)})
    try:
        for event in deal_events(network):
            log = Log(network.contracts.core.address, event["name"], event)
            replay.read([log], int(blocks[event["block"]]["timestamp"], 16))
    except AssertionError as error:
        return replay, f"{event['name']} in block {event['block']}: {error}"
    return replay, ""


def _balances(network: Network, replay: Replay) -> str:
    """The first balance that is not what the events say, or a sum that is not what the contracts hold; "" for none."""
    book, core, token = replay.book, network.contracts.core, network.token
    for account in sorted({account for _, account in [*book.free, *book.locked]}):
        free, locked = core.call("accountOf", token, account)[:2]
        expected = book.free[token, account], book.locked[token, account]
        if (free, locked) != expected:
            return f"{account} has {free} free and {locked} locked, by the events {expected}"
    for (strategy, held, pool), amount in book.funds.items():
        if core.call("fundOf", strategy, held, pool) != amount:
            return f"the fund of {hex_of(pool)} is not {amount}"
    for key, parts in book.accrued.items():
        if list(core.call("accruedOf", *key)) != parts:
            return f"what is accrued for {hex_of(key[1])} is not {parts}"
    held, tokens = core.call("heldOf", token), network.contracts["LilypadToken"]
    if book.owed(token) != held:
        return f"the parts sum up to {book.owed(token)}, the core counts {held}"
    if tokens.call("balanceOf", core.address) < held:
        return "the core holds less than it owes"
    return _stakes(network)


def _stakes(network: Network) -> str:
    """Stakes by account against the credit that the staking contract has for them in the core."""
    staking, total = network.contracts["LilypadStaking"], 0
    for pool, account in {(event["pool"], event["account"]) for event in events(network, "LilypadStaking", "Staked")}:
        staked, unbonding = staking.call("stakeOf", pool, account)[:2]
        total += staked + unbonding
    held = sum(network.contracts.core.call("accountOf", network.token, staking.address)[:2])
    return "" if held == total else f"stakes sum up to {total}, the staking contract has credit of {held}"


# ---- actions


def _batch(network: Network, calls: list[Call]) -> list[Any]:
    """Many calls, each hundred within the time of one: chains of long sweeps have thousands of blocks."""
    answers: list[Any] = []
    for start in range(0, len(calls), 100):
        answers += network.rpc.batch(calls[start : start + 100])
    return answers


def _blocks(network: Network, numbers: Iterable[int], *, full: bool = False) -> dict[int, Any]:
    wanted = sorted(numbers)
    answers = _batch(network, [Call("eth_getBlockByNumber", (hex(number), full)) for number in wanted])
    return {number: answer for number, answer in zip(wanted, answers, strict=True) if isinstance(answer, dict)}


def _transactions(network: Network, accounts: set[str], since: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Mined transactions of the accounts after a block, with their receipts."""
    head = int(network.rpc.request("eth_blockNumber"), 16)
    blocks = _blocks(network, range(since + 1, head + 1), full=True)
    sent = [item for block in blocks.values() for item in block["transactions"] if item["from"].lower() in accounts]
    receipts = _batch(network, [Call("eth_getTransactionReceipt", (item["hash"],)) for item in sent])
    return list(zip(sent, receipts, strict=True))  # type: ignore[arg-type]


def _repeated(network: Network, accounts: set[str], since: int, reverts: int) -> list[str]:
    """The same call done twice, or tried again although it had failed; and more failures than the fault explains."""
    done: Counter[tuple[Sent, tuple[str, ...]]] = Counter()
    failed: Counter[Sent] = Counter()
    for item, receipt in _transactions(network, accounts, since):
        if len(item["input"]) <= 2:  # an empty transfer to oneself takes a nonce back
            continue
        call = item["from"], item["to"], item["input"]
        if receipt["status"] == "0x1":  # a draw that only moves the queue on is another action than the one that seats
            done[call, tuple(log["topics"][0] for log in receipt["logs"])] += 1
        else:
            failed[call] += 1
    wrong = [f"{_name(network, call)} was done {count} times" for (call, _), count in done.items() if count > 1]
    wrong += [f"{_name(network, call)} was repeated after it failed" for call, count in failed.items() if count > 1]
    if sum(failed.values()) > reverts:
        names = ", ".join(_name(network, call) for call in failed)
        wrong.append(f"{sum(failed.values())} transactions failed ({names}), the fault explains {reverts}")
    return wrong


def _name(network: Network, call: Sent) -> str:
    for name in network.book.contracts:
        contract = network.contracts[name]
        if contract.address.lower() == call[1].lower():
            for overloads in contract.abi.functions.values():
                for function in overloads:
                    if call[2].startswith("0x" + function.selector.hex()):
                        return f"{name}.{function.name}"
            return name
    return call[1]


def _doubled(network: Network) -> list[str]:
    """Results, openings of a result, and seats' words that the chain has more than once."""
    wrong = []
    results = Counter(hex_of(event["dealId"]) for event in events(network, "Lilypad", "ResultSubmitted"))
    wrong += [f"deal {deal} has {count} results" for deal, count in results.items() if count > 1]
    gone = {event["dealId"] for event in events(network, "LilypadResolver", "DealDeclined")}
    offers = Counter(_offer(event) for event in events(network, "Lilypad", "DealOpened") if event["dealId"] not in gone)
    wrong += [f"job offer {offer} has {count} deals" for offer, count in offers.items() if count > 1]
    for name in ("Committed", "Revealed"):
        words = Counter(
            (hex_of(event["dealId"]), event["round"], event["seat"], event["account"])
            for event in events(network, "LilypadMediation", name)
        )
        wrong += [f"{name} {count} times by seat {seat} of {deal}" for (deal, _, seat, _), count in words.items() if count > 1]
    return wrong


def _offer(event: Mapping[str, Any]) -> str:
    return hex_of(Deal.from_words(event["record"]).job_offer_hash)
