"""What an opening brought to the chain and the deal record does not hold: the module's terms and the job offer's words.

Both stand in the calldata of the transaction that opened the deal, and both are proven by the record: the terms by the
version id, the offer by its hash. So it does not matter who tells them; a solver is asked only where the calldata is of
a contract that is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.runtime.context import Contracts
from lilypad_agents.chain.abi import Function
from lilypad_agents.chain.codec import to_bytes
from lilypad_agents.chain.errors import AbiError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Words
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms

_OPENING_CALLS = {
    "Lilypad": ("open", "openBatch", "openAndSubmit", "openSubmitAndSettle"),
    "LilypadBundler": ("depositAndOpen", "depositAndOpenBatch"),
}


@dataclass(frozen=True)
class Opened:
    """The job offer of a deal and the terms of its module, both checked against the record."""

    job: JobOffer
    terms: ModuleTerms

    @property
    def job_words(self) -> Words:
        return self.job.words()


class OpeningReader:
    """Finds what was opened in a transaction; asks the chain once for each."""

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._functions: dict[bytes, Function] = {}
        for contract, names in _OPENING_CALLS.items():
            if contract in contracts:
                for name in names:
                    function = contracts[contract].abi.function(name)
                    self._functions[function.selector] = function

    def read(self, deal: Deal, transaction: bytes) -> Opened | None:
        """What the transaction (32 bytes hash) opened for this deal; None when its calldata does not show it.

        Raises ChainUnreachable and RpcError.
        """
        return next(filter(None, (_opened(opening, deal) for opening in self._openings(transaction))), None)

    def pool(self, deal: Deal, transaction: bytes) -> PoolTerms | None:
        """The terms of the deal's pool, as the transaction that opened it brought them; proven by the pool id.

        Raises ChainUnreachable and RpcError.
        """
        candidates = (_pool_terms(opening.pool) for opening in self._openings(transaction))
        return next((pool for pool in candidates if pool is not None and pool.id == deal.pool), None)

    def _openings(self, transaction: bytes) -> Iterator[Any]:
        found = self._rpc.request("eth_getTransactionByHash", "0x" + transaction.hex())
        calldata = to_bytes(found["input"]) if isinstance(found, dict) and "input" in found else b""
        function = self._functions.get(calldata[:4])
        if function is None:
            return
        try:
            arguments = function.decode_arguments(calldata)
        except AbiError:
            return
        for argument in arguments:
            candidates = argument if isinstance(argument, tuple) and not hasattr(argument, "_fields") else (argument,)
            yield from (candidate for candidate in candidates if hasattr(candidate, "resource") and hasattr(candidate, "jobs"))


def _pool_terms(words: Sequence[bytes]) -> PoolTerms | None:
    try:
        return PoolTerms.from_words(words)
    except FieldInvalid:
        return None


def _opened(opening: Any, deal: Deal) -> Opened | None:
    try:
        terms = ModuleTerms.from_words(opening.module)
        _, solver = ResourceOffer.from_words(opening.resource, pool=deal.pool)
    except FieldInvalid:
        return None
    if terms.id != deal.module:
        return None
    for signed in opening.jobs:
        job = _job(signed.words, deal, solver)
        if job is not None:
            return Opened(job, terms)
    return None


def _job(words: Sequence[bytes], deal: Deal, solver: Any) -> JobOffer | None:
    try:
        job = JobOffer.from_words(
            words, token=deal.token, module=deal.module, pool=deal.pool, solver=solver, provider=deal.provider
        )
    except FieldInvalid:
        return None
    return job if job.struct_hash == deal.job_offer_hash else None


def opened_from(job: JobOffer, terms: ModuleTerms, deal: Deal) -> Opened | None:
    """The same from anybody's word; None unless the record proves it."""
    if job.struct_hash != deal.job_offer_hash or terms.id != deal.module:
        return None
    return Opened(job, terms)
