"""A creator's whole business in one object: `Creator(settings).run("cowsay:v0.0.1", {"Message": "moo"})`.

The command line does nothing that this cannot; nothing here prints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator import market
from lilypad_agents.agents.creator.decide import Policy
from lilypad_agents.agents.creator.delivery import Delivered, write_results
from lilypad_agents.agents.creator.errors import (
    JobUnfinished,
    JobUnknown,
    ModuleDeprecated,
    NoMatch,
    PriceAboveLimit,
    RequestInvalid,
)
from lilypad_agents.agents.creator.journal import Job, Stage, request_key
from lilypad_agents.agents.creator.modules import ResolvedModule
from lilypad_agents.agents.creator.offers import OfferContext, SolverTerms, draft_offer, sign_offer
from lilypad_agents.agents.creator.outcome import Outcome
from lilypad_agents.agents.creator.progress import Listener, nobody_listens
from lilypad_agents.agents.creator.quote import Quote
from lilypad_agents.agents.creator.request import JobRequest, PreparedInputs, Wishes, prepare_inputs
from lilypad_agents.agents.creator.runner import FINAL, VERIFIED, JobRunner
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.keys import Signer
from lilypad_agents.content.cid import Cid
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.execution.manifest import Manifest, parse_published
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, DealId, hex_of
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms
from lilypad_agents.protocol.units import UINT96_MAX, Bps, Timestamp


@dataclass(frozen=True)
class Prepared:
    """A job before its signature: everything checked and priced, nothing signed or paid."""

    request: JobRequest
    module: ResolvedModule
    inputs: PreparedInputs
    offer: JobOffer
    quote: Quote
    time: Timestamp  # of the block at which it was prepared

    @property
    def pool(self) -> PoolTerms:
        """Who judges the job; chosen by the time it is prepared."""
        assert self.request.wishes.pool is not None
        return self.request.wishes.pool

    @property
    def key(self) -> str:
        """Equal for equal requests of equal content; see `journal.request_key`."""
        wishes = self.request.wishes
        return request_key(
            {
                "module": hex_of(self.module.version_id),
                "inputs": self.inputs.inputs.digest.hex(),
                "pool": hex_of(self.pool.id),
                "provider": wishes.provider,
            }
        )


class Creator:
    """All that a creator does on one network with one account. Use as a context manager, or `close` it."""

    def __init__(self, settings: CreatorSettings, *, signer: Signer | None = None, session: Session | None = None) -> None:
        self.session = session or Session(settings, signer=signer)

    def __enter__(self) -> Creator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.session.close()

    # ---- one call

    def run(
        self,
        module: str,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, Path] | None = None,
        *,
        wishes: Wishes = Wishes(),
        policy: Policy = Policy(),
        until: str = VERIFIED,
        seconds: float | None = None,
        listen: Listener = nobody_listens,
    ) -> Outcome:
        """Runs a job: checks, quotes, signs, waits, verifies, accepts. An equal job that has not ended is carried on instead.

        Raises what `prepare` and `start` raise; how the job ended, failures included, is in the outcome.
        """
        prepared = self.prepare(JobRequest(module, dict(values or {}), dict(files or {}), wishes))
        job = self.unfinished(prepared) or self.start(prepared, self.check_price(prepared))
        return self.runner(job, policy=policy, listen=listen).wait(until, seconds=seconds)

    # ---- before the signature

    def prepare(self, request: JobRequest, module: ResolvedModule | None = None) -> Prepared:
        """Resolves, checks the inputs and prices: all that can fail before anything is signed.

        Raises ModuleUnknown and its kin, ModuleDeprecated, InputsInvalid, RequestInvalid, SolverUnreachable, ChainUnreachable.
        """
        session = self.session
        wishes = request.wishes if request.wishes.pool else replace(request.wishes, pool=session.settings.pool_terms())
        request = replace(request, wishes=wishes)
        module = module or session.modules.resolve(request.module)
        if module.deprecated and not request.deprecated:
            raise ModuleDeprecated(f"{module.full_name} is deprecated by its publisher: not for new jobs.", module=module.full_name)
        inputs = prepare_inputs(session.store, module.manifest, module.terms, request.values, request.files)
        ledger_time = session.chain.now()
        context = OfferContext(
            creator=session.account,
            token=session.token.address,
            solver=self._solver_terms(),
            parameters=session.chain.parameters,
            settings=session.settings,
            time=ledger_time,
        )
        draft = draft_offer(module.manifest, module.terms, inputs.inputs.digest, wishes, context)
        quote = market.quote_for(session, draft, module.terms, wishes.pool or UNVERIFIED, ledger_time)
        return Prepared(request, module, inputs, draft, quote, ledger_time)

    def _solver_terms(self) -> SolverTerms:
        info = self.session.solver_info
        return SolverTerms(info.address, Bps(info.fee_bps))

    # ---- signing

    def unfinished(self, prepared: Prepared) -> Job | None:
        """An equal job that has not ended: carrying it on opens no second deal. What ended unnoticed is noted and passed over."""
        for job in self.session.journal.unfinished(prepared.key):
            if job.deal is None and (job.offer is None or job.offer.expiry >= prepared.time):
                return job
            runner = self.runner(job)
            runner.look()
            ended = runner.outcome() is not None if runner.job.deal is None else runner.job.stage is Stage.ENDED
            if not ended:
                return runner.job
        return None

    def check_price(self, prepared: Prepared, *, waits: bool = False) -> int:
        """The price limit of the offer: what was wished, else the cheapest total now. Smallest units.

        `waits`: the offer may stand until somebody comes who takes it; without a wish its limit is then what others ask,
        who could take it but for the named provider. Raises NoMatch, PriceAboveLimit.
        """
        wished, best = prepared.request.wishes.max_price, prepared.quote.best
        if best is None and not waits:
            raise self.no_offers(prepared)
        if wished is not None:
            return wished
        if best is None and prepared.offer.provider != NOBODY:
            best = self._requote(prepared, provider=NOBODY).best
        if best is None:
            raise self.no_offers(prepared)
        return best.locked

    def _requote(self, prepared: Prepared, **changes: Any) -> Quote:
        """The quote for the same job with other terms."""
        draft = replace(prepared.offer, **changes)
        return market.quote_for(self.session, draft, prepared.module.terms, prepared.pool, self.session.chain.now())

    def no_offers(self, prepared: Prepared) -> NoMatch | PriceAboveLimit:
        """Why nobody could take the job now: its price limit alone, or the conditions that fail."""
        token, wished = self.session.token, prepared.request.wishes.max_price
        if wished is not None:
            best = self._requote(prepared, max_price=UINT96_MAX).best
            if best is not None:
                return PriceAboveLimit(
                    f"The cheapest offer costs {token.show(best.locked)}, your limit is {token.show(wished)}.",
                    cheapest=best.locked,
                    limit=wished,
                )
        refused = prepared.quote.refused
        told = "; ".join(f"{count} offer{'s' if count > 1 else ''}: {reason}" for reason, count in refused.items())
        return NoMatch(f"No provider could take this now. {told or 'There are no open offers'}.", reasons=dict(refused))

    def require_funds(self, price: int) -> None:
        """Raises InsufficientFunds when the ledger balance does not cover what will be locked."""
        ledger, token = self.session.chain.ledger(self.session.account), self.session.token
        if ledger.free < price:
            raise InsufficientFunds(
                f"Your ledger balance has {token.show(ledger.free)} free, the job locks {token.show(price)}.",
                hint=f"Run `lilypad deposit {token.decimal(price - ledger.free)}`, or repeat the command with --deposit.",
                has=ledger.free,
                needed=price,
            )

    def start(self, prepared: Prepared, price: int, *, folder: Path | None = None, deposit: bool = False) -> Job:
        """Signs the offer and notes the job; nothing has left this machine yet (the runner posts it).

        `price`: the offer's limit, of `check_price`. `deposit`: moves exactly what is missing from the wallet first.
        Raises InsufficientFunds.
        """
        session = self.session
        ledger = session.chain.ledger(session.account)
        if ledger.free < price:
            if not deposit:
                self.require_funds(price)
            session.wallet.deposit(session.token, price - ledger.free)
        nonce = session.journal.take_nonce(
            ledger.job_floor, lambda nonces: session.chain.nonces_used(session.account, nonces)
        )
        session.crash.point("creator.nonce_taken")
        offer = replace(prepared.offer, nonce=nonce, max_price=price)
        signature = sign_offer(offer, session.chain.domain, session.signer)
        block = int(session.rpc.request("eth_blockNumber"), 16)
        job = Job(
            id=hex_of(offer.struct_hash),
            request_key=prepared.key,
            created_at=int(time.time()),
            label=prepared.request.module,
            terms=prepared.module.terms,
            pool=prepared.pool,
            offer=offer,
            signature=signature,
            roots=tuple(str(root) for root in prepared.inputs.roots),
            solver=session.solver.base_url,
            posted_block=block,
            stage=Stage.SIGNED,
            folder=str((folder or session.settings.results).absolute()),
        )
        session.crash.point("creator.offer_signed")
        session.journal.add(job)
        session.crash.point("creator.job_noted")
        return job

    # ---- afterwards

    def runner(self, job: Job, *, policy: Policy = Policy(), listen: Listener = nobody_listens) -> JobRunner:
        """What carries a job on."""
        return JobRunner(self.session, job, self.manifest(job), policy=policy, listen=listen)

    def fetch(self, job: Job, folder: Path | None = None) -> tuple[Delivered, Path]:
        """Downloads a result again, verifies it and writes it as `folder`/<deal>; agrees to nothing.

        Raises JobUnfinished without a result, ResultMismatch, ContentUnavailable, TargetExists.
        """
        delivered = self.runner(job).take_delivery()
        if delivered is None:
            raise JobUnfinished(f"The job {job.name} has no result yet.", job=job.id)
        target = (folder or self.session.settings.results).absolute() / job.deal_text
        path = write_results(self.session.store, delivered, target)
        digest, data_id = bytes(delivered.digest), str(delivered.note.data_id)
        self.session.journal.update(job, results=str(path), data_id=data_id, digest=digest)
        return delivered, path

    def manifest(self, job: Job) -> Manifest:
        """The manifest of a job's module. Raises ContentUnavailable."""
        digest = job.terms.manifest
        return parse_published(self.session.fetch_manifest(Cid.raw(digest)), digest)

    def find(self, text: str) -> Job:
        """The job that an id, or the beginning of one, names; looked for on the chain when the journal does not know it.

        Raises JobUnknown, also when several begin so.
        """
        found = self.session.journal.find(text)
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise JobUnknown(f"{len(found)} jobs begin with {text}; give more digits.", found=[job.name for job in found])
        wanted = text.lower().removeprefix("0x")
        adopted = [job for job in self.adopt_all() if job.deal_text[2:].startswith(wanted) and wanted]
        if len(adopted) == 1:
            return adopted[0]
        raise JobUnknown(f"There is no job {text} of {self.session.account}.", account=self.session.account)

    def adopt_all(self) -> list[Job]:
        """Notes every deal of this account that the journal does not know, from the chain alone: another machine's, too."""
        session = self.session
        new = []
        for opened in session.chain.opened(creator=session.account):
            known = session.journal.of_deal(opened.id) or session.journal.get(hex_of(opened.record.job_offer_hash))
            if known is None:
                new.append(self._adopt(opened.id, opened.record, opened.block))
        return new

    def _adopt(self, deal_id: DealId, record: Deal, block: int) -> Job:
        published = self.session.chain.published_terms(record.module)
        if published is None:
            raise RequestInvalid(f"The module {hex_of(record.module)} of deal {hex_of(deal_id)} is not in the registry.")
        terms, name, version = published
        pool = UNVERIFIED if not record.is_verified else self._pool_of(record)
        job = Job(
            id=hex_of(record.job_offer_hash),
            request_key=f"adopted {hex_of(deal_id)}",
            created_at=int(time.time()),
            label=f"{name}:{version}",
            terms=terms,
            pool=pool,
            offer=None,
            signature=b"",
            roots=(),
            solver=self.session.settings.solvers[0] if self.session.settings.solvers else "",
            posted_block=block,
            stage=Stage.OPENED,
            folder=str(self.session.settings.results),
            deal=deal_id,
            record=record,
            opened_block=block,
        )
        self.session.journal.add(job)
        return job

    def _pool_of(self, record: Deal) -> PoolTerms:
        """Pool terms are not on the chain: the settings or the solver that opened the deal know them. Their hash proves them."""
        name = self.session.settings.pool_name(record.pool)
        if name:
            return self.session.settings.pools[name]
        view = self.session.solver.deal(record.id(self.session.chain.domain))
        if view.pool is None or view.pool.id != record.pool:
            raise RequestInvalid(f"The terms of the pool {hex_of(record.pool)} are not known here.")
        return view.pool


__all__ = ["FINAL", "VERIFIED", "Creator", "Outcome", "Prepared"]
