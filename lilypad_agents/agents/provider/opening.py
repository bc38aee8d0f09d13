"""Opening deals by oneself, from a job offer that a creator handed over: no solver is needed, only both signatures.

An offer file is JSON: `{"offer": {...}, "signature": "0x...", "module": {...}, "pool": {...} or null}`, members under
their Solidity names. The provider answers it with an offer of its own that is good for this one deal.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.provider.capacity import Machine
from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.errors import OfferFileInvalid, OpeningRefused
from lilypad_agents.agents.provider.offers import Template, offer_of
from lilypad_agents.agents.provider.policy import ACCEPT, DealFacts, gate
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.chain.errors import ContractReverted
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.strictjson import JsonRefused, load
from lilypad_agents.protocol.consent import by_own_key
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.ids import Address, Commitment, DealId, VersionId, hex_of
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Opening, Pair, ResultOpening, opening_of
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Nonce

MOST_BYTES = 64 * 1024
INBOX = "inbox"


@dataclass(frozen=True)
class JobFile:
    """A job offer that a creator signed, with the terms that it names. `signature`: the core's signature argument."""

    job: JobOffer
    signature: bytes
    module: ModuleTerms
    pool: PoolTerms = UNVERIFIED

    def to_json(self) -> dict[str, Any]:
        return {
            "offer": self.job.to_json(),
            "signature": hex_of(self.signature),
            "module": self.module.to_json(),
            "pool": self.pool.to_json() if self.pool.is_verified else None,
        }


def parse_job_file(raw: bytes, source: str = "offer file") -> JobFile:
    """Raises OfferFileInvalid, which names what is wrong."""
    try:
        document = load(raw, max_bytes=MOST_BYTES)
        if not isinstance(document, Mapping) or set(document) - {"offer", "signature", "module", "pool"}:
            raise ValueError("must be an object of offer, signature, module and pool")
        pool = document.get("pool")
        return JobFile(
            JobOffer.from_json(document["offer"]),
            bytes.fromhex(str(document["signature"]).removeprefix("0x")),
            ModuleTerms.from_json(document["module"]),
            UNVERIFIED if pool is None else PoolTerms.from_json(pool),
        )
    except KeyError as missing:
        problem = f"lacks {missing.args[0]}"
    except (JsonRefused, ValueError) as error:
        problem = str(error)
    except LilypadError as error:
        problem = error.message
    raise OfferFileInvalid(f"The offer file {source}: {problem}", path=source, problem=problem)


def answer(context: AgentContext, config: ProviderConfig, machine: Machine, found: JobFile) -> Pair:
    """The pair of the creator's offer and one of ours for this job alone. Raises OpeningRefused for what we do not serve."""
    template = Template(found.pool, config.price_of(VersionId(found.module.id)), _list_for(found.module), machine)
    token = Address(context.book.address("LilypadToken"))
    offer = offer_of(
        template, config, context.address, token, context.parameters.max_judge_window, context.now
    )
    offer = _for_one(offer, found.job)
    signature = by_own_key(context.signer.sign_digest(context.domain.digest(offer.struct_hash)))
    pair = Pair(found.job, found.signature, offer, signature, found.module, found.pool)
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    decision = gate(DealFacts(deal, found.job.submit_window, found.module), config, machine)
    if decision != ACCEPT:
        raise OpeningRefused(f"This provider does not serve the job: {decision}", reason=str(decision))
    return pair


def open_deal(context: AgentContext, pair: Pair) -> DealId:
    """Hands the opening of a pair to the outbox, once. Raises OpeningRefused with the core's reason before anything is sent."""
    opening = opening_of([pair])
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    _send(context, pair, deal, "open", opening)
    return deal.id(context.domain)


def open_and_submit(context: AgentContext, pair: Pair, commitment: Commitment) -> DealId:
    """As `open_deal`, and posts the result of a run that is done already. The deal can still be challenged."""
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    _send(context, pair, deal, "openAndSubmit", opening_of([pair]), [commitment])
    return deal.id(context.domain)


def open_submit_and_settle(context: AgentContext, pair: Pair, result: ResultOpening, waiver: bytes) -> DealId:
    """As `open_and_submit`, and settles with the creator's waiver: a whole deal in one transaction."""
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    _send(context, pair, deal, "openSubmitAndSettle", opening_of([pair]), result.head, result.content, waiver)
    return deal.id(context.domain)


def open_offer(context: AgentContext, config: ProviderConfig, machine: Machine, path: Path) -> DealId:
    """Opens a deal from an offer file. Raises OfferFileInvalid, OpeningRefused."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise OfferFileInvalid(f"The offer file {path} cannot be read: {error.strerror}.", path=str(path)) from None
    return open_deal(context, answer(context, config, machine, parse_job_file(raw, path.name)))


# ---- handing files to a provider that runs


def hand_over(data: Path, path: Path) -> Path:
    """Puts an offer file where the provider that runs on this data folder opens it. Raises OfferFileInvalid."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise OfferFileInvalid(f"The offer file {path} cannot be read: {error.strerror}.", path=str(path)) from None
    parse_job_file(raw, path.name)
    inbox = data / INBOX
    inbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = inbox / f"{secrets.token_hex(8)}.json"
    partial = target.with_suffix(".partial")
    partial.write_bytes(raw)
    os.replace(partial, target)
    return target


def waiting(data: Path) -> Sequence[Path]:
    """Offer files that were handed over and not looked at yet, oldest first."""
    try:
        names = sorted((entry.stat().st_mtime, entry.name) for entry in os.scandir(data / INBOX) if entry.name.endswith(".json"))
    except FileNotFoundError:
        return ()
    return [data / INBOX / name for _, name in names]


def put_aside(path: Path, outcome: str) -> None:
    """Marks a file as looked at: `opened` or `refused`."""
    path.rename(path.with_suffix(f".{outcome}"))


# ---- parts


def _list_for(module: ModuleTerms) -> tuple[VersionId, ...] | None:
    """An offer without a list admits deterministic modules only; for others it names this one."""
    return None if module.deterministic else (VersionId(module.id),)


def _for_one(offer: ResourceOffer, job: JobOffer) -> ResourceOffer:
    """Good for one deal, and the same whenever it is made: a repeat gives the same deal, never a second one.

    The nonce, under which uses of limited offers are counted, follows from the job.
    """
    nonce = Nonce(int.from_bytes(job.struct_hash[:4], "big") | 1 << 31)
    return replace(offer, volume=1, nonce=nonce, expiry=job.expiry)


def _send(context: AgentContext, pair: Pair, deal: Deal, function: str, opening: Opening, *more: Any) -> None:
    core = context.core
    try:
        core.call(function, opening, *more, sender=context.address, block="latest")
    except ContractReverted as error:
        raise OpeningRefused(f"The core refuses the deal: {error.decoded}", reason=str(error.decoded)) from error
    data = core.encode(function, opening, *more)
    deadline = min(pair.job.expiry, pair.resource.expiry)
    key = opening_key(deal.id(context.domain))
    context.outbox.submit(key, core.address, data, deadline=int(deadline), again_if_failed=True)


def opening_key(deal_id: DealId) -> str:
    """The key of an opening in the outbox."""
    return f"open:{hex_of(deal_id)}"
