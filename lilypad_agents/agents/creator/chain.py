"""What a creator reads of the chain, in few requests: balances, deals, modules, its own nonces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.runtime.disputes import DISPUTE_EVENTS, MEDIATION, Dispute, facts_of, look
from lilypad_agents.agents.runtime.panels import STAKING
from lilypad_agents.chain.abi import Abi, DecodedEvent, ErrorTable, Event
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.digest import deciding_period, is_drawn
from lilypad_agents.protocol.ids import Address, DealId, VersionId, checksummed
from lilypad_agents.protocol.lifecycle import DisputeKind
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.terms import ModuleTerms
from lilypad_agents.protocol.units import Period, Timestamp

_ENDINGS = (
    "DealAccepted",
    "DealMediationAccepted",
    "DealMediationRejected",
    "DealNoFault",
    "DealTimedOut",
    "DealDeclined",
    "DealClosed",
)


@dataclass(frozen=True)
class Ledger:
    """An account's money in one token, smallest units; `coin` in wei. Floors: smaller nonces count no more."""

    coin: int
    wallet: int
    free: int
    locked: int
    job_floor: int
    time: Timestamp  # of the block that was read


@dataclass(frozen=True)
class OpenedDeal:
    """A deal as its opening event has it."""

    id: DealId
    record: Deal
    block: int
    transaction: bytes


class CreatorChain:
    """Reads of one deployment. Raises ChainUnreachable, WrongChain, RpcError, and what `Contract.call` raises."""

    def __init__(self, rpc: Rpc, book: AddressBook) -> None:
        self.rpc = rpc
        self.book = book
        self.domain = Domain(book.chain_id, Address(book.address("Lilypad")))
        abis = {name: Abi.load(name) for name in ("Lilypad", "LilypadResolver", "LilypadModules", "LilypadToken")}
        self.errors = ErrorTable.of(*abis.values())
        self.core, self.resolver, self.registry, self._default_token = (
            Contract(book.address(name), abi, rpc, self.errors) for name, abi in abis.items()
        )
        self._token_abi = abis["LilypadToken"]
        self.mediation = self._optional(MEDIATION)
        if self.mediation is not None:
            self.errors = ErrorTable.of(*abis.values(), self.mediation.abi)

    @property
    def staking(self) -> Contract:
        """The pools of this deployment. Raises DeploymentMismatch when it has none."""
        return Contract(self.book.address(STAKING), Abi.load(STAKING), self.rpc, self.errors)

    def _optional(self, name: str) -> Contract | None:
        """A contract that an older deployment may lack."""
        if name not in self.book.contracts:
            return None
        return Contract(self.book.address(name), Abi.load(name), self.rpc, self.errors)

    @property
    def default_token(self) -> Address:
        return Address(self._default_token.address)

    def token_contract(self, token: Address) -> Contract:
        return Contract(token, self._token_abi, self.rpc, self.errors)

    @cached_property
    def parameters(self) -> Parameters:
        """What the deployment fixed; asked once."""
        return Parameters(*self.resolver.call("parameters"))

    def token(self, address: Address | None = None) -> Token:
        """Symbol and decimals of a token (default: the deployment's own)."""
        contract = self.token_contract(address or self.default_token)
        symbol, decimals = (_value(answer) for answer in call_many(self.rpc, [contract.prepare("symbol"), contract.prepare("decimals")]))
        return Token(Address(contract.address), str(symbol)[:16], int(decimals))

    def now(self) -> Timestamp:
        """Time of the latest block, unix seconds: the only clock that counts."""
        block = self.rpc.request("eth_getBlockByNumber", "latest", False)
        return Timestamp(ChainMoment.parse(block).timestamp)

    def ledger(self, account: Address, token: Address | None = None) -> Ledger:
        """All money of an account in one request."""
        contract = self.token_contract(token or self.default_token)
        core = self.core.prepare("accountOf", contract.address, account)
        wallet = contract.prepare("balanceOf", account)
        answers = self.rpc.batch(
            [
                Call("eth_getBlockByNumber", ("latest", False)),
                Call("eth_getBalance", (account, "latest")),
                _call(contract.address, wallet.data),
                _call(self.core.address, core.data),
            ]
        )
        block, coin, held, found = (_value(answer) for answer in answers)
        free, locked, job_floor, _ = core.function.decode(to_bytes(found))
        return Ledger(
            coin=quantity(coin),
            wallet=int(wallet.function.decode(to_bytes(held))),
            free=int(free),
            locked=int(locked),
            job_floor=int(job_floor),
            time=Timestamp(ChainMoment.parse(block).timestamp),
        )

    def nonces_used(self, account: Address, nonces: range) -> set[int]:
        """Those of the nonces that a deal used or that were cancelled."""
        answers = call_many(self.rpc, [self.core.prepare("jobNonce", account, nonce) for nonce in nonces])
        return {nonce for nonce, answer in zip(nonces, answers, strict=True) if any(_value(answer))}

    def is_cancelled(self, account: Address, nonce: int) -> bool:
        """Whether a job offer's nonce was cancelled; one that a deal used was not."""
        return bool(self.core.call("jobNonce", account, nonce)[1])

    # ---- deals

    def state(self, deal: DealId) -> tuple[DealState, Timestamp]:
        """Where a deal stands, and the time of the block that says so."""
        prepared = self.core.prepare("dealOf", deal)
        answers = self.rpc.batch(
            [Call("eth_getBlockByNumber", ("latest", False)), _call(self.core.address, prepared.data)]
        )
        block, found = (_value(answer) for answer in answers)
        return DealState.of(prepared.function.decode(to_bytes(found))), Timestamp(ChainMoment.parse(block).timestamp)

    def opened(self, *, deal: DealId | None = None, creator: Address | None = None, since: int | None = None) -> Iterator[OpenedDeal]:
        """Deals by id or creator from block `since` on (default: the deployment's first), in chain order."""
        topics = [_topic_of(deal), None if creator is None else "0x" + "00" * 12 + creator[2:].lower()]
        for event in self._logs(self.core, ("DealOpened",), topics, since):
            yield OpenedDeal(
                DealId(event.args["dealId"]),
                Deal.from_words(event.args["record"]),
                event.block_number,
                event.transaction_hash,
            )

    def ending(self, deal: DealId, since: int | None = None) -> DecodedEvent | None:
        """The event with which a deal ended, or None."""
        found = None
        for contract in (self.core, self.resolver):
            names = tuple(name for name in _ENDINGS if name in contract.abi.events)
            for event in self._logs(contract, names, [_topic_of(deal)], since):
                found = event
        return found

    def dispute(self, deal: DealId, record: Deal, kind: DisputeKind, since: int | None = None) -> Dispute | None:
        """The running or last dispute of a deal; None for one at a strategy that this deployment does not have."""
        if self.mediation is None or record.strategy != self.mediation.address or kind is DisputeKind.NONE:
            return None
        delivery = kind is DisputeKind.DELIVERY
        events = self._logs(self.mediation, DISPUTE_EVENTS, [_topic_of(deal)], since)
        return look(self.mediation, {deal: (facts_of(events, delivery=delivery), delivery)}).get(deal)

    def disputed_by(self, deal: DealId) -> Address:
        """Who began the running or last dispute of a deal; nobody without one."""
        return Address(str(self.resolver.call("disputeOf", deal)[0]))

    def lottery(self, deal: DealId, record: Deal, period: int) -> bool | None:
        """Whether a posted result is drawn for an audit; None while nobody can know. A lost seed counts as drawn."""
        if record.audit_bps == 0:
            return False
        status, seed = self._randomness.call("seed", deciding_period(Period(period)))
        if status != 1:
            return None if status == 0 else True
        return is_drawn(bytes(seed), deal, record.audit_bps)

    @cached_property
    def _randomness(self) -> Contract:
        address = self.parameters.randomness
        name = next((name for name, known in self.book.contracts.items() if known.address == address), "BlockHashRandomness")
        return Contract(address, Abi.load(name), self.rpc, self.errors)

    def accepted(self, creator: Address, since: int) -> list[DealId]:
        """Deals of a creator that were settled from block `since` on, in chain order."""
        topics = [None, "0x" + "00" * 12 + creator[2:].lower()]
        return [DealId(event.args["dealId"]) for event in self._logs(self.core, ("DealAccepted",), topics, since)]

    def events_of(self, contract: Contract, names: tuple[str, ...], topics: Sequence[Any], last: int) -> list[DecodedEvent]:
        """Events of a contract up to block `last`; `topics` as eth_getLogs takes them."""
        return list(self._logs(contract, names, list(topics), None, last))

    def _logs(
        self, contract: Contract, names: tuple[str, ...], topics: list[Any], since: int | None, last: int | None = None
    ) -> Iterator[DecodedEvent]:
        events = {contract.abi.event(name).topic: contract.abi.event(name) for name in names}
        query = {
            "address": contract.address,
            "fromBlock": hex(self.book.first_block if since is None else since),
            "toBlock": "latest" if last is None else hex(last),
            "topics": [["0x" + topic.hex() for topic in events], *topics],
        }
        for log in self.rpc.request("eth_getLogs", query):
            yield _decoded(events, log)

    # ---- modules

    def version_of(self, publisher: Address, name: str, version: str) -> VersionId | None:
        """The version id that the registry has under a name, None for none."""
        found = bytes(self.registry.call("versionOf", publisher, name, version))
        return VersionId(found) if any(found) else None

    def published_terms(self, version: VersionId) -> tuple[ModuleTerms, str, str] | None:
        """Terms, name and version text of a registered version, from its publication; None for one that is not there."""
        for event in self._logs(self.registry, ("VersionPublished",), [_topic_of(version)], None):
            terms = terms_in(event)
            if terms.id == version:
                return terms, str(event.args["nameText"]), str(event.args["versionText"])
        return None

    def versions_under(self, publisher: Address, name: str) -> list[tuple[VersionId, str]]:
        """All registered versions of a name, oldest first."""
        name_id = bytes(self.registry.call("nameIdOf", publisher, name))
        topics = [None, "0x" + name_id.hex().ljust(64, "0")]
        return [
            (VersionId(event.args["version"]), str(event.args["versionText"]))
            for event in self._logs(self.registry, ("VersionPublished",), topics, None)
        ]

    def registry_events(self, names: tuple[str, ...], topics: Sequence[Any] = ()) -> list[DecodedEvent]:
        """Events of the registry in chain order; `topics` narrows the indexed arguments, as eth_getLogs takes them."""
        return list(self._logs(self.registry, names, list(topics), None))

    def deprecated(self, version: VersionId) -> bool:
        """Whether the publisher marked the version as not for new jobs; False for one that is not registered."""
        return bool(self.registry.call("recordOf", version)[4])


def _decoded(events: Mapping[bytes, Event], log: Any) -> DecodedEvent:
    try:
        topics = [to_bytes(topic) for topic in log["topics"]]
        event = events[topics[0]]
        return DecodedEvent(
            name=event.name,
            args=event.decode(topics, to_bytes(log["data"])),
            address=checksummed(log["address"]),
            block_number=quantity(log["blockNumber"]),
            block_hash=to_bytes(log["blockHash"]),
            transaction_hash=to_bytes(log["transactionHash"]),
            log_index=quantity(log["logIndex"]),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RpcError(f"The node sent a malformed log: {error!r}.") from error


def terms_in(event: DecodedEvent) -> ModuleTerms:
    """The terms of a VersionPublished event; the caller compares their id with the version."""
    values = list(event.args["terms"])
    for index in (0, 5, 7):  # publisher, royaltyTo, strategy
        values[index] = checksummed(str(values[index]))
    return ModuleTerms(*values)


def _call(to: str, data: bytes) -> Call:
    return Call("eth_call", ({"to": to, "data": "0x" + data.hex()}, "latest"))


def _topic_of(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def _value(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    if answer is None:
        raise RpcError("The node does not know the block.")
    return answer
