"""A small market for tests of the registry, the directory and the periphery: the real core, paid deals, published modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from lilypad_agents.protocol.consent import Domain, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.digest import result_digest
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, VersionId
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Opening, Pair, ResultOpening, opening_of
from lilypad_agents.protocol.structs import TypedStruct
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, name_hash
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.support.evm import Account, Contract, Evm, Receipt

WEALTH = 10**24
CORE_DEVNET = (100, 5, 7 * 86_400, 5, 80, 30, 600)  # as in the devnet preset of deployment_plan


@dataclass(frozen=True)
class Version:
    """A version with what a publication says beside its terms."""

    terms: ModuleTerms
    name: str
    version: str
    parent_share_bps: int = 0
    fork_share_bps: int = 0

    @property
    def id(self) -> VersionId:
        return self.terms.id

    @property
    def arguments(self) -> tuple[object, ...]:
        """Of LilypadModules.publish."""
        return (self.terms, self.name, self.version, self.parent_share_bps, self.fork_share_bps)


class Market:
    """A core with funded parties, pool 0. `earn` runs one whole deal: opened, submitted and settled in one call."""

    def __init__(self) -> None:
        self.evm = Evm()
        self.evm.install_history()
        self.token = self.evm.deploy("LilypadToken", self.evm.deployer)
        randomness = self.evm.deploy("BlockHashRandomness", 6, 20, 1_000)
        self.core = self.evm.deploy("Lilypad", (randomness.address, *CORE_DEVNET))
        self.modules = self.evm.deploy("LilypadModules", self.core)
        self.domain = Domain(self.evm.chain_id, Address(self.core.address))
        self.creator, self.provider = self.account("creator"), self.account("provider")
        for party in (self.creator, self.provider):
            self.fund(party)
        self._nonces = count()

    def account(self, name: str) -> Account:
        return self.evm.account(name)

    def fund(self, party: Account, amount: int = WEALTH, token: Contract | None = None) -> None:
        """Gives tokens and deposits them to the party's credit."""
        coin = token or self.token
        give = coin.transfer if coin is self.token else coin.mint
        give(party, amount)
        coin.approve(self.core, amount, sender=party)
        self.core.deposit(coin, amount, party, sender=party)

    def free(self, account: Account | str, token: Contract | None = None) -> int:
        """Free credit in the core."""
        return int(self.core.accountOf(token or self.token, account).free)

    # ---- modules

    def version(
        self,
        publisher: Account,
        name: str = "cowsay",
        version: str = "v0.0.1",
        *,
        parent: Version | None = None,
        parent_share_bps: int = 0,
        fork_share_bps: int = 0,
        **terms: object,
    ) -> Version:
        """A version as its author would publish it, royalties through the registry; `terms` replaces any field."""
        made = ModuleTerms(
            publisher=Address(publisher.address),
            name_hash=name_hash(name, version),
            manifest=b"\x11" * 32,
            parent=parent.id if parent else ZERO,
            royalty_bps=1_000,
            royalty_to=Address(self.modules.address),
            deterministic=True,
            strategy=NOBODY,
            min_audit_bps=0,
            min_seat_fee=0,
            metering=0,
        )
        return Version(replace(made, **terms), name, version, parent_share_bps, fork_share_bps)

    def publish(self, version: Version, sender: Account, **options: object) -> Receipt:
        return self.modules.publish(*version.arguments, sender=sender, **options)

    def published(self, publisher: Account, *words: str, **options: object) -> Version:
        """A version that is registered, by its publisher."""
        made = self.version(publisher, *words, **options)
        self.publish(made, publisher)
        return made

    # ---- deals

    def offers(
        self, terms: ModuleTerms, gross: int, *, solver: Account | None = None, token: Contract | None = None,
        creator: Account | None = None,
    ) -> Pair:
        """Two signed offers that fit each other, for a fixed price."""
        named = Address(solver.address) if solver else NOBODY
        coin = Address((token or self.token).address)
        creator = creator or self.creator
        common = {
            "token": coin, "max_units": 0, "cpu_milli": 0, "ram_mib": 0, "disk_mib": 0, "gpu_count": 0, "vram_mib": 0,
            "flags": 0, "pool": ZERO, "solver": named, "expiry": self.evm.timestamp + 1_000,
        }  # fmt: skip
        job = JobOffer(
            creator=Address(creator.address), module=terms.id, inputs=b"\x22" * 32, max_price=2 * gross, submit_window=60,
            judge_window=60, collateral_bps=1_000, audit_bps=0, solver_fee_bps=0, provider=NOBODY, nonce=next(self._nonces),
            **common,
        )  # fmt: skip
        resource = ResourceOffer(
            provider=Address(self.provider.address), price=gross, unit_price=0, modules=ZERO, max_collateral_bps=1_000,
            min_submit_window=0, max_judge_window=80, volume=UNLIMITED_VOLUME, nonce=0, **common,
        )  # fmt: skip
        return Pair(job, self.sign(job, creator), resource, self.sign(resource, self.provider), terms, UNVERIFIED)

    def sign(self, message: TypedStruct, account: Account) -> bytes:
        return by_own_key(account.sign(self.domain.digest(message.struct_hash)))

    def opening(self, *pairs: Pair) -> Opening:
        return opening_of(pairs)

    def deal(self, pair: Pair) -> Deal:
        return deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)

    def earn(
        self, terms: ModuleTerms, gross: int, *, solver: Account | None = None, token: Contract | None = None
    ) -> int:
        """Runs one paid deal and returns the royalty that it accrued."""
        pair = self.offers(terms, gross, solver=solver, token=token)
        deal_id = self.deal(pair).id(self.domain)
        opened = ResultOpening(ZERO, b"\x33" * 32, b"\x44" * 32)
        digest = result_digest(opened.head, opened.content)
        waiver = self.sign(Waiver(deal_id=deal_id, result_digest=digest), self.creator)
        self.core.openSubmitAndSettle(opening_of([pair]), opened.head, opened.content, waiver, sender=self.provider)
        return gross * terms.royalty_bps // 10_000

    def claim(self, line: Sequence[Version], solvers: Sequence[object] = (NOBODY,), **options: object) -> Receipt:
        """Claims in LilypadToken unless `token` says otherwise."""
        token = options.pop("token", self.token)
        sources = [(solver, NOBODY, ZERO) for solver in solvers]
        return self.modules.claim(token, [item.terms for item in line], sources, **options)

