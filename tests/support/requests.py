"""Jobs asked for by contracts, on the in-process EVM: the real LilypadJobs, clients of it, and what they ask for.

    request = desk.ask(desk.client)                       # by the inherited call of LilypadClient
    deal = desk.matched(request)                          # a provider's offer opens it
    parts = desk.settled(deal, stdout=b"moo\n")           # submitted and paid
    desk.jobs.deliver(deal.words, parts, b"moo\n")
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Part, commitment, content_of, open_result, result_digest
from lilypad_agents.protocol.ids import NOBODY, ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import Pair, ResultOpening
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, JobTerms, RequestState, ResultParts
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms
from tests.support.evm import Account, Contract, Receipt
from tests.support.world import COIN, START_CREDIT, World, build_world

COUNTED = Part.EXIT_CODE | Part.STDOUT
CALLBACK_GAS = 400_000


@dataclass
class Requests:
    """A world with LilypadJobs and a client of it, both with START_CREDIT in their ledger accounts."""

    world: World
    jobs: Contract
    client: Contract  # RecordingClient
    hostile: Contract  # HostileClient
    pool: PoolTerms = UNVERIFIED
    salts: int = 0
    nonces: int = 0
    asked: list[JobRequest] = field(default_factory=list)

    # ---- asking

    def terms(self, **changes: Any) -> JobTerms:
        """What to ask for; fields of the job offer to change. The nonce counts down from the largest."""
        self.nonces += 1
        verified = self.pool is not UNVERIFIED
        fields = {
            "module": self.world.module.id, "pool": self.pool.id, "solver": NOBODY, "solver_fee_bps": 0,
            "collateral_bps": 162_000 if verified else 1_000, "audit_bps": 800 if verified else 0,
            "nonce": 2**32 - self.nonces,
        }  # fmt: skip
        plain = {name: getattr(value, "address", value) for name, value in changes.items()}
        return JobTerms.of(self.world.job(**(fields | plain)))

    def ask(self, client: Contract | None = None, inputs: bytes = b"{}", gas: int = CALLBACK_GAS, **changes: Any) -> JobRequest:
        """A request by a RecordingClient, which fills in the nonce."""
        client = client or self.client
        return self.requested(client.ask(self.terms(**changes), inputs, gas))

    def ask_raw(self, client: Contract | None = None, inputs: bytes = b"{}", gas: int = CALLBACK_GAS, **changes: Any) -> JobRequest:
        """A request by a puppet, which approves and asks in two calls."""
        client, terms = client or self.hostile, self.terms(**changes)
        self.approve(client, terms, inputs)
        return self.requested(client.execute(self.jobs, self.jobs.calldata("request", terms, inputs, gas)))

    def approve(self, client: Contract, terms: JobTerms, inputs: bytes = b"{}") -> None:
        offer = terms.offer(client.address, hashlib.sha256(inputs).digest())
        digest = self.world.domain.digest(offer.struct_hash)
        client.execute(self.world.core, self.world.core.calldata("approve", client, digest, True))

    def requested(self, receipt: Receipt) -> JobRequest:
        """The request as an agent reads it from the event."""
        found = receipt.event("JobRequested")
        request = JobRequest(
            found["requestId"], found["requester"], JobTerms(*found["terms"]), found["inputs"], found["callbackGas"]
        )
        assert request.offer.struct_hash == request.id
        return request

    def state(self, request: JobRequest) -> tuple[RequestState, JobOutcome]:
        *_, state, outcome = self.jobs.requestOf(request.id)
        return RequestState(state), JobOutcome(outcome)

    # ---- what becomes of it

    def pair(self, request: JobRequest, **resource: Any) -> Pair:
        """The request's offer and one of the provider's, unsigned by the requester, whose approval stands on chain."""
        fields = {"pool": self.pool.id, "solver": NOBODY} | resource
        made = self.world.resource(**fields)
        return Pair(
            request.offer, b"", made, self.world.sign(made, self.world.provider), self.world.module, self.pool, ()
        )

    def matched(self, request: JobRequest, **resource: Any) -> Deal:
        return self.world.open(self.pair(request, **resource), sender=self.world.keeper)[0]

    def parts(
        self, stdout: bytes | None = b"moo\n", *, exit_code: int = 0, units: int = 0, outputs: bytes | None = None
    ) -> ResultParts:
        self.salts += 1
        mask = Part.EXIT_CODE | Part.UNITS
        mask |= Part(0) if stdout is None else Part.STDOUT
        mask |= Part(0) if outputs is None else Part.OUTPUTS
        stdout_hash = None if stdout is None else keccak256(stdout)
        found = open_result(
            mask, exit_code=exit_code, units=units, stdout_hash=stdout_hash, stderr_hash=None, outputs_root=outputs
        )
        return ResultParts(found.head, stdout_hash or ZERO, ZERO, outputs or ZERO, keccak256(b"salt %d" % self.salts))

    def opening(self, parts: ResultParts) -> ResultOpening:
        return ResultOpening(parts.head, content_of(*parts[1:4]), parts.salt)

    def digest(self, parts: ResultParts) -> bytes:
        opening = self.opening(parts)
        return result_digest(opening.head, opening.content)

    def submitted(self, deal: Deal, stdout: bytes | None = b"moo\n", **result: Any) -> ResultParts:
        parts, deal_id = self.parts(stdout, **result), deal.id(self.world.domain)
        self.world.core.submitResult(
            deal_id, commitment(deal_id, deal.provider, self.digest(parts), parts.salt), sender=self.world.provider
        )
        return parts

    def settled(self, deal: Deal, stdout: bytes | None = b"moo\n", **result: Any) -> ResultParts:
        """Submitted, and paid after the judge deadline."""
        parts = self.submitted(deal, stdout, **result)
        if deal.audit_bps:
            self.world.set_seed(deal, drawn=False)
        self.world.pass_to(self.world.evm.timestamp + deal.judge_window + 1)
        self.world.settle(deal, self.opening(parts), Agreement.NONE)
        assert self.world.state(deal).status is Status.ACCEPTED
        return parts

    def paid(self, request: JobRequest, stdout: bytes | None = b"moo\n", **result: Any) -> tuple[Deal, ResultParts]:
        deal = self.matched(request)
        return deal, self.settled(deal, stdout, **result)

    def late(self, request: JobRequest) -> Deal:
        deal = self.matched(request)
        self.world.pass_to(self.world.evm.timestamp + deal.submit_window + 1)
        self.world.resolver.timeoutSubmit(deal.words, sender=self.world.keeper)
        return deal

    def deliver(self, deal: Deal, parts: ResultParts, stdout: bytes = b"moo\n", **options: Any) -> Receipt:
        return self.jobs.deliver(deal.words, parts, stdout, sender=options.pop("sender", self.world.keeper), **options)

    def money(self) -> dict[str, int]:
        """All ledger money of those who have any, and what the ledger holds."""
        world = self.world
        people: dict[str, Account | Contract] = {
            "client": self.client, "hostile": self.hostile, "jobs": self.jobs, "provider": world.provider,
            "creator": world.creator, "solver": world.solver, "keeper": world.keeper, "strategy": world.strategy,
        }  # fmt: skip
        found = {f"{name} free": world.free(account) for name, account in people.items()}
        found |= {f"{name} locked": world.locked(account) for name, account in people.items()}
        return found | {"held": world.core.heldOf(world.token), "jobs tokens": world.token.balanceOf(self.jobs)}


def fund(world: World, account: Any, amount: int = START_CREDIT) -> None:
    """Gives a contract ledger credit out of fresh tokens of the keeper."""
    world.token.mint(world.keeper, amount)
    world.token.approve(world.core, amount, sender=world.keeper)
    world.core.deposit(world.token, amount, account, sender=world.keeper)


def build_requests(world: World | None = None) -> Requests:
    """Deploys jobs and clients beside a world."""
    world = world or build_world()
    jobs = world.evm.deploy("LilypadJobs", world.core)
    requests = Requests(
        world, jobs, world.evm.deploy("RecordingClient", jobs), world.evm.deploy("HostileClient", Habit.TAKE)
    )
    for client in (requests.client, requests.hostile):
        fund(world, client)
    return requests


class Habit:
    """Of HostileClient."""

    TAKE, REVERT, BURN, MEGABYTE, MEGABYTE_ERROR, REENTER, DESTROY = range(7)


__all__ = ["COIN", "Habit", "Requests", "build_requests", "fund"]
