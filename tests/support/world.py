"""A small Lilypad to test against: core, token, pool, seeds at will, and the usual people with money in the ledger.

    deal, deal_id = world.open(job={"audit_bps": 2_000})       # fields of the offers to change
    result = world.submit(deal, units=3)                       # posts a commitment, answers its opening
    world.set_seed(deal, drawn=False)
    world.settle(deal, result, by=world.creator)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol.consent import Acceptance, Closing, Domain, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.digest import Part, commitment, deciding_period, is_drawn, open_result, result_digest
from lilypad_agents.protocol.ids import NOBODY, ZERO, DealId, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import (
    NO_OPENING,
    Pair,
    ResultOpening,
    Settling,
    closing_of,
    opening_of,
    settlements_of,
)
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.refusals import ChainView
from lilypad_agents.protocol.structs import TypedStruct
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms, name_hash
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.support.evm import Account, Contract, Evm, Receipt

COIN = 10**18
PERIOD_BLOCKS = 6
JUDGE_WINDOW_LIMIT = 3_600
START_CREDIT = 1_000_000 * COIN
START_FUND = 1_000 * COIN


@dataclass
class World:
    """Everything a contract test needs. Roles are accounts with keys; `strategy` is the friendly double."""

    evm: Evm
    token: Contract
    randomness: Contract
    core: Contract
    resolver: Contract
    strategy: Contract
    parameters: Parameters
    creator: Account
    provider: Account
    solver: Account
    publisher: Account
    challenger: Account
    keeper: Account
    module: ModuleTerms
    pool: PoolTerms
    nonces: dict[str, int] = field(default_factory=lambda: {"job": 0, "resource": 0, "salt": 0})

    @property
    def domain(self) -> Domain:
        return Domain(self.evm.chain_id, self.core.address)

    # ---- money

    def deposit(self, account: Account, amount: int) -> None:
        """Mints and deposits, so that `account` has `amount` more in its ledger account."""
        self.token.mint(account, amount)
        self.token.approve(self.core, amount, sender=account)
        self.core.deposit(self.token, amount, account, sender=account)

    def free(self, account: Any) -> int:
        return self.core.accountOf(self.token, account)[0]

    def locked(self, account: Any) -> int:
        return self.core.accountOf(self.token, account)[1]

    def fund(self, pool: PoolTerms | None = None) -> int:
        pool = self.pool if pool is None else pool
        return self.core.fundOf(pool.strategy, self.token, pool.id)

    def fees(self, deal: Deal) -> tuple[int, int]:
        """Swept royalty and solver fee that wait to be claimed for the deal's version and solver."""
        return tuple(self.core.feesOf(self.token, deal.module, deal.solver))

    def accrued(self, deal: Deal) -> tuple[int, int, int]:
        """Royalty, solver fee and part of the fund that settlements accrued and nobody swept."""
        return tuple(self.core.accruedOf(self.token, deal.module, deal.solver, deal.strategy, deal.pool))

    def sweep(self, deal: Deal) -> Receipt:
        return self.core.sweep(self.token, deal.module, deal.solver, deal.strategy, deal.pool)

    def ledger(self, deal: Deal) -> dict[str, int]:
        """All that a deal can move: free and locked credit of everybody, and, swept or not, fund and waiting fees."""
        people = [self.creator, self.provider, self.solver, self.publisher, self.challenger, self.keeper, self.strategy]
        names = ["creator", "provider", "solver", "publisher", "challenger", "keeper", "strategy"]
        found = {name: self.free(account) for name, account in zip(names, people, strict=True)}
        found |= {f"{name} locked": self.locked(account) for name, account in zip(names, people, strict=True)}
        fund = self.core.fundOf(deal.strategy, self.token, deal.pool)
        swept, accrued = (*self.fees(deal), fund), self.accrued(deal)
        names = ("royalty", "solver fee", "fund")
        return found | {name: a + b for name, a, b in zip(names, swept, accrued, strict=True)}

    # ---- offers

    def job(self, **changes: Any) -> JobOffer:
        """A fresh job offer (nonce counted up, salted inputs); it expires an hour from now."""
        self.nonces["job"] += 1
        fields: dict[str, Any] = {
            "creator": self.creator.address,
            "module": self.module.id,
            "inputs": keccak256(self.nonces["job"].to_bytes(32, "big")),
            "token": self.token.address,
            "max_price": 10_000 * COIN,
            "max_units": 10,
            "cpu_milli": 1_000,
            "ram_mib": 512,
            "disk_mib": 100,
            "gpu_count": 0,
            "vram_mib": 0,
            "flags": 0,
            "submit_window": 60,
            "judge_window": 60,
            "collateral_bps": 162_000,
            "audit_bps": 800,
            "pool": self.pool.id,
            "solver": self.solver.address,
            "solver_fee_bps": 100,
            "provider": NOBODY,
            "expiry": self.evm.timestamp + 3_600,
            "nonce": self.nonces["job"],
        }
        return JobOffer(**(fields | _plain(changes)))

    def resource(self, **changes: Any) -> ResourceOffer:
        """A fresh resource offer (nonce counted up); it expires an hour from now."""
        self.nonces["resource"] += 1
        fields: dict[str, Any] = {
            "provider": self.provider.address,
            "token": self.token.address,
            "price": COIN,
            "unit_price": COIN // 100,
            "max_units": 1_000,
            "cpu_milli": 4_000,
            "ram_mib": 8_192,
            "disk_mib": 10_000,
            "gpu_count": 0,
            "vram_mib": 0,
            "flags": 0,
            "modules": ZERO,
            "max_collateral_bps": 400_000,
            "min_submit_window": 5,
            "max_judge_window": JUDGE_WINDOW_LIMIT,
            "pool": self.pool.id,
            "solver": NOBODY,
            "volume": UNLIMITED_VOLUME,
            "expiry": self.evm.timestamp + 3_600,
            "nonce": self.nonces["resource"],
        }
        return ResourceOffer(**(fields | _plain(changes)))

    def sign(self, message: TypedStruct, account: Account) -> bytes:
        """The signature argument of the account's own key."""
        return by_own_key(account.sign(self.domain.digest(message.struct_hash)))

    def pair(
        self,
        job: JobOffer | Mapping[str, Any] | None = None,
        resource: ResourceOffer | Mapping[str, Any] | None = None,
        *,
        module: ModuleTerms | None = None,
        pool: PoolTerms | None = None,
        membership: tuple[bytes, ...] = (),
    ) -> Pair:
        """Two offers signed by creator and provider. Changed terms are named by both offers."""
        module, pool = module or self.module, self.pool if pool is None else pool
        named = {"pool": pool.id}
        if not isinstance(job, JobOffer):
            job = self.job(**({"module": module.id} | named | dict(job or {})))
        if not isinstance(resource, ResourceOffer):
            resource = self.resource(**(named | dict(resource or {})))
        return Pair(
            job, self.sign(job, self.creator), resource, self.sign(resource, self.provider), module, pool, membership
        )

    def unverified(self) -> dict[str, Any]:
        """Options of `pair` and `open` for pool 0: no audit, one tenth of collateral."""
        return {"pool": UNVERIFIED, "job": {"audit_bps": 0, "collateral_bps": 1_000}}

    def view(self, *pairs: Pair) -> ChainView:
        """What `why_not` needs to know about these pairs, read from the contracts."""
        free, floors, uses, funds = {}, {}, {}, {}
        used, cancelled, speakers = set(), set(), {}
        for pair in pairs:
            job, resource = pair.job, pair.resource
            for token, account in ((job.token, job.creator), (resource.token, resource.provider)):
                answer = self.core.accountOf(token, account)
                free[token, account], floors[token, account] = answer[0], (answer[2], answer[3])
            uses[resource.provider, resource.nonce] = self.core.resourceUse(resource.provider, resource.nonce)
            was_used, was_cancelled = self.core.jobNonce(job.creator, job.nonce)
            used |= {(job.creator, job.nonce)} if was_used else set()
            cancelled |= {(job.creator, job.nonce)} if was_cancelled else set()
            pool = pair.pool
            funds[pool.strategy, job.token, pool.id] = self.core.fundOf(pool.strategy, job.token, pool.id)
            for offer, account, signature in (
                (job, job.creator, pair.job_signature),
                (resource, resource.provider, pair.resource_signature),
            ):
                speaker = self.core.consentOf(account, offer.struct_hash, signature, 1)
                if speaker != NOBODY:
                    speakers[offer.struct_hash] = speaker
        return ChainView(
            self.domain, self.evm.timestamp, free, floors, funds, frozenset(used), frozenset(cancelled), uses, speakers
        )

    # ---- the life of a deal

    def open(self, *pairs: Pair, sender: Any = None, exact: bool = False, **options: Any) -> tuple[Deal, DealId]:
        """Opens pairs of one group (or one that `pair(**options)` makes) and answers the last deal and its id."""
        found = pairs or (self.pair(**options),)
        self.core.open(opening_of(found), sender=sender or self.solver, exact=exact)
        last = found[-1]
        deal = deal_from_offers(last.job, last.resource, last.module, last.pool)
        return deal, deal.id(self.domain)

    def result(self, deal: Deal, units: int = 0, exit_code: int = 0, salt: bytes | None = None) -> ResultOpening:
        """The opening of some result; salted freshly unless told."""
        self.nonces["salt"] += 1
        mask = Part.EXIT_CODE | Part.STDOUT | (Part.UNITS if deal.unit_price else Part(0))
        opened = open_result(
            mask,
            exit_code=exit_code,
            units=units if deal.unit_price else 0,
            stdout_hash=keccak256(deal.inputs),
            stderr_hash=None,
            outputs_root=None,
        )
        salt = keccak256(b"salt" + self.nonces["salt"].to_bytes(4, "big")) if salt is None else salt
        return ResultOpening(opened.head, opened.content, salt)

    def commitment(self, deal: Deal, result: ResultOpening) -> int:
        digest = result_digest(result.head, result.content)
        return commitment(deal.id(self.domain), deal.provider, digest, result.salt)

    def submit(self, deal: Deal, units: int = 0, exit_code: int = 0, *, exact: bool = False) -> ResultOpening:
        """The provider posts the commitment to a result; answers its opening."""
        result = self.result(deal, units, exit_code)
        self.core.submitResult(
            deal.id(self.domain), self.commitment(deal, result), sender=self.provider, exact=exact
        )
        return result

    def set_seed(self, deal: Deal, *, drawn: bool) -> bytes:
        """Makes the seed known that decides on a submitted deal, such that the lottery draws or spares it."""
        period = deciding_period(self.state(deal).period)
        number = 0
        while is_drawn(seed := keccak256(number.to_bytes(32, "big")), deal.id(self.domain), deal.audit_bps) != drawn:
            number += 1
        self.randomness.setSeed(period, seed)
        return seed

    def lose_seed(self, deal: Deal) -> None:
        """Lets the seed expire that decides on a submitted deal."""
        self.randomness.setExpired(deciding_period(self.state(deal).period))

    def acceptance(self, deal: Deal, result: ResultOpening) -> bytes:
        digest = result_digest(result.head, result.content)
        return self.sign(Acceptance(deal.id(self.domain), digest), self.creator)

    def waiver(self, deal: Deal, result: ResultOpening) -> bytes:
        digest = result_digest(result.head, result.content)
        return self.sign(Waiver(deal_id=deal.id(self.domain), result_digest=digest), self.creator)

    def settle(
        self,
        deal: Deal,
        result: ResultOpening,
        agreement: Agreement = Agreement.NONE,
        *,
        by: Any = None,
        signature: bytes | None = None,
        exact: bool = False,
    ) -> Receipt:
        """Settles one deal; signs the creator's agreement unless `signature` is given."""
        if signature is None:
            signers = {Agreement.ACCEPTANCE: self.acceptance, Agreement.WAIVER: self.waiver}
            signature = signers[agreement](deal, result) if agreement in signers else b""
        (settlement,) = settlements_of([Settling(deal, result, agreement, signature)])
        return self.core.settle(settlement, sender=by or self.keeper, exact=exact)

    def resolve(
        self,
        deal: Deal,
        verdict: Verdict,
        opening: ResultOpening = NO_OPENING,
        claim: int = 0,
        bounty_to: Any = NOBODY,
    ) -> Receipt:
        """The strategy's answer."""
        return self.strategy.resolve(self.resolver, deal.words, verdict, opening, claim, bounty_to)

    def close(self, deal: Deal, to_creator: int, to_provider: int, expiry: int | None = None, by: Any = None) -> Receipt:
        terms = Closing(deal.id(self.domain), to_creator, to_provider, self.evm.timestamp if expiry is None else expiry)
        argument = closing_of(terms, self.sign(terms, self.creator), self.sign(terms, self.provider))
        return self.resolver.close(deal.words, argument, sender=by or self.keeper)

    def state(self, deal: Deal) -> DealState:
        return DealState.of(self.core.dealOf(deal.id(self.domain)))

    def pass_to(self, timestamp: int) -> None:
        """The next transactions run at `timestamp` (unix seconds), with one block a second in between."""
        self.evm.set_block(self.evm.number + timestamp - self.evm.timestamp, timestamp)


def build_world(evm: Evm | None = None, **parameters: Any) -> World:
    """Deploys everything. `parameters`: fields of Parameters that differ from the devnet's."""
    evm = evm or Evm()
    people = {name: evm.account(name) for name in ("creator", "provider", "solver", "publisher", "challenger", "keeper")}
    token = evm.deploy("PlainToken", "Test", 18)
    randomness = evm.deploy("ScriptedRandomness", PERIOD_BLOCKS, 10 * JUDGE_WINDOW_LIMIT, 9)
    chosen = replace(devnet(JUDGE_WINDOW_LIMIT, randomness.address), **parameters)
    core = evm.deploy("Lilypad", chosen)
    resolver = evm.at("LilypadResolver", core.resolver())
    strategy = evm.deploy("FriendlyStrategy")
    module = ModuleTerms(
        people["publisher"].address, name_hash("cowsay", "v0.0.1"), keccak256(b"manifest"), ZERO, 500,
        people["publisher"].address, True, NOBODY, 0, 0, 1,
    )  # fmt: skip
    pool = PoolTerms(strategy.address, token.address, 5 * COIN // 4, 1_000 * COIN, 10 * COIN, ZERO, 12, 8, 12, ZERO)
    world = World(evm, token, randomness, core, resolver, strategy, chosen, **people, module=module, pool=pool)
    for name in ("creator", "provider", "challenger"):
        world.deposit(people[name], START_CREDIT)
    world.deposit(world.keeper, START_FUND)
    core.donate(strategy, token, PoolId(pool.id), START_FUND, sender=world.keeper)
    return world


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.address if isinstance(value, (Account, Contract)) else value for name, value in changes.items()}
