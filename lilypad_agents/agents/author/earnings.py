"""What modules earned: accrued and swept in the core, claimable, paid; and claiming it.

Royalties wait in the core by version, solver and pool. A claim sweeps them and divides them along the version's line,
exact to the unit (contracts/interfaces/ILilypadModules.sol), so that whoever is owed a share of a fork is paid by the
same transaction as the fork's owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lilypad_agents.agents.author.errors import LineageRefused
from lilypad_agents.agents.author.registry import ModuleRegistry, Publication
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.chain.contract import call_many
from lilypad_agents.protocol.ids import Address, VersionId, checksummed, hex_of

_PAID = ("RoyaltyPaid",)


@dataclass(frozen=True, order=True)
class Source:
    """Where royalties of one version wait: by token, solver and pool."""

    token: Address
    solver: Address
    strategy: Address
    pool: bytes


@dataclass(frozen=True)
class Earnings:
    """One version in one token, smallest units. `accrued` was not swept, `swept` waits for the claim; both together are
    claimable. `yours`: the account's part of that. `paid`: what claims have paid out, `paid_to_you` thereof to the account.
    """

    line: tuple[Publication, ...]
    token: Address
    accrued: int
    swept: int
    yours: int
    paid: int
    paid_to_you: int
    split: tuple[tuple[Address, int], ...]
    sources: tuple[Source, ...] = field(repr=False)

    @property
    def publication(self) -> Publication:
        return self.line[0]

    @property
    def claimable(self) -> int:
        return self.accrued + self.swept


class EarningsBook:
    """Earnings of versions, for one account. Reads every publication and every deal's opening once: cost grows with both."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._registry = ModuleRegistry(session.chain)

    @cached_property
    def _publications(self) -> dict[VersionId, Publication]:
        return {item.id: item for item in self._registry.publications()}

    @cached_property
    def _sources(self) -> dict[VersionId, set[Source]]:
        found: dict[VersionId, set[Source]] = {}
        for opened in self._session.chain.opened():
            deal = opened.record
            source = Source(deal.token, deal.solver, deal.strategy, bytes(deal.pool))
            found.setdefault(VersionId(deal.module), set()).add(source)
        return found

    def mine(self) -> list[Earnings]:
        """Every version that pays the account, as owner of its name or of an ancestor's, and has ever had a deal."""
        payees: dict[bytes, Address] = {}
        for item in self._publications.values():
            if item.name_id not in payees:
                payees[item.name_id] = self._registry.name_by_id(item.name_id).payee
        found = []
        for item in self._publications.values():
            line = self._line(item.id)
            if any(payees[part.name_id] == self._session.account for part in line):
                found += self.of(item.id)
        return found

    def of(self, version: VersionId) -> list[Earnings]:
        """One entry for each token in which the version had a deal. Raises LineageRefused for one that is not registered."""
        line = self._line(version)
        by_token: dict[Address, list[Source]] = {}
        for source in sorted(self._sources.get(version, ())):
            by_token.setdefault(source.token, []).append(source)
        return [self._earnings(line, token, sources) for token, sources in by_token.items()]

    def _line(self, version: VersionId) -> tuple[Publication, ...]:
        """As ModuleRegistry.line, from what was read already."""
        found: list[Publication] = []
        wanted = bytes(version)
        while any(wanted):
            item = self._publications.get(VersionId(wanted))
            if item is None or item in found:
                raise LineageRefused(f"The version {hex_of(wanted)} is not registered, so its line is not known.", version=hex_of(wanted))
            found.append(item)
            wanted = bytes(item.terms.parent)
        return tuple(found)

    def _earnings(self, line: tuple[Publication, ...], token: Address, sources: Sequence[Source]) -> Earnings:
        core, version = self._session.chain.core, line[0].id
        solvers = sorted({source.solver for source in sources})
        calls = [core.prepare("accruedOf", token, version, source.solver, source.strategy, source.pool) for source in sources]
        calls += [core.prepare("feesOf", token, version, solver) for solver in solvers]
        answers = [_value(answer) for answer in call_many(self._session.rpc, calls)]
        accrued = sum(int(answer[0]) for answer in answers[: len(sources)])
        swept = sum(int(answer[0]) for answer in answers[len(sources) :])
        if line[0].terms.royalty_to == self._registry.address:
            split = self._registry.split(line, accrued + swept) if accrued + swept else []
        else:
            split = [(line[0].terms.royalty_to, accrued + swept)] if accrued + swept else []
        yours = sum(part for payee, part in split if payee == self._session.account)
        paid, to_you = self._paid(version, token)
        return Earnings(line, token, accrued, swept, yours, paid, to_you, tuple(split), tuple(sources))

    def _paid(self, version: VersionId, token: Address) -> tuple[int, int]:
        events = self._session.chain.registry_events(_PAID, [hex_of(version)])
        amounts = [(checksummed(str(event.args["to"])), int(event.args["amount"])) for event in events if checksummed(str(event.args["token"])) == token]
        return sum(amount for _, amount in amounts), sum(amount for to, amount in amounts if to == self._session.account)


@dataclass(frozen=True)
class Claimed:
    """One claim: what it paid, by account; smallest units."""

    earnings: Earnings
    paid: tuple[tuple[Address, int], ...]
    transaction: bytes

    @property
    def amount(self) -> int:
        return sum(part for _, part in self.paid)


def claim(session: Session, found: Iterable[Earnings]) -> list[Claimed]:
    """Claims what waits, one transaction a version and token; what has nothing waiting is passed over.

    A version whose terms pay another account than the registry is passed over too: that account claims from the core itself.
    """
    registry = ModuleRegistry(session.chain).address
    done = []
    for item in found:
        if not item.claimable or item.publication.terms.royalty_to != registry:
            continue
        sources = [(source.solver, source.strategy, source.pool) for source in item.sources]
        terms = [part.terms for part in item.line]
        block = int(session.rpc.request("eth_blockNumber"), 16)
        key = f"claim:{hex_of(item.publication.id)}:{item.token}:{block}"
        receipt = session.wallet.registry(key, "claim", item.token, terms, sources)
        events = session.chain.registry_events(_PAID, [hex_of(item.publication.id)])
        paid = [
            (checksummed(str(event.args["to"])), int(event.args["amount"]))
            for event in events
            if event.transaction_hash == receipt.transaction_hash
        ]
        done.append(Claimed(item, tuple(paid), receipt.transaction_hash))
    return done


def _value(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
