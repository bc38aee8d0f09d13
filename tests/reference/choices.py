"""What a made-up history can choose from: people, amounts, offers that open and offers that must not."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

from tests.reference.chain import CALLBACK_GAS, COIN, INPUTS, MEDIATORS, PEOPLE, Site
from tests.reference.deals import Deal
from tests.reference.jobs import State
from tests.reference.protocol import Protocol, Step
from tests.reference.terms import UNLIMITED, JobOffer, Opening, Pair, PoolTerms, ResourceOffer
from tests.reference.words import NOBODY, ZERO, keccak

# Audit rate and collateral, basis points: usual ones that open, and some that must not.
_PRESETS = ((800, 162_000), (800, 170_000), (5_000, 80_000), (5_000, 80_000), (10_000, 80_000), (2_000, 80_000), (2_000, 80_000),
            (10_000, 80_000), (799, 161_000))  # fmt: skip
_PRICES = (COIN, COIN, COIN, COIN, COIN + 7, COIN + 7, 2 * COIN, 2 * COIN, 3 * COIN, 3 * COIN, 1, 11 * COIN)
_AMOUNTS = (0, 1, COIN, 7 * COIN, 40 * COIN, 300 * COIN, 10**24)


class Choices:
    """Money, offers and requests of one history; `Traces` adds what happens to deals."""

    def __init__(self, site: Site, model: Protocol, seed: int) -> None:
        self.site, self.model, self.choose = site, model, random.Random(seed)
        self.people = [site.address(name) for name in PEOPLE]
        self.mediators = [site.address(name) for name in MEDIATORS]
        self.keeper, self.solver, self.publisher = (site.address(name) for name in ("keeper", "solver", "publisher"))
        self.puppet, self.client = site.at("puppet"), site.at("client")
        self.everybody = [*self.people, *self.mediators, self.keeper, self.solver, self.publisher]
        self.results: dict[bytes, Opening] = {}  # of each deal
        self.secrets: dict[tuple[bytes, int, int], tuple[bytes, bytes, bool]] = {}  # vote, salt, served
        self.themes: dict[tuple[bytes, int], str] = {}
        self.offers: list[Pair] = []
        self.counter = 0
        self.focus: bytes | None = None

    # ---- choosing

    def _pick(self, *options: Any) -> Any:
        return self.choose.choice(options)

    def _chance(self, share: float) -> bool:
        return self.choose.random() < share

    def _fresh(self) -> int:
        self.counter += 1
        return self.counter

    def _somebody(self) -> str:
        return self.choose.choice(self.everybody)

    def _signs(self, account: str, wrongly: float = 0.05) -> bool:
        """Whether the signature that goes along is the account's. The contract that asks for jobs signs its offers only."""
        return account != self.client and not self._chance(wrongly)

    # ---- money

    def _money(self) -> Step | None:
        who, token, amount = self._somebody(), self.choose.choice(self.site.tokens), self.choose.choice(_AMOUNTS)
        kind = self.choose.randrange(9)
        if kind == 0:
            return Step("deposit", who, (token, self._pick(who, self._somebody(), self.client), amount))
        if kind == 1:
            return Step("withdraw", who, (token, self._pick(who, self._somebody(), NOBODY), amount))
        if kind == 2:
            parts = tuple((self._somebody(), self.choose.choice(_AMOUNTS[:5])) for _ in range(self.choose.randrange(4)))
            return Step("transfer", who, (token, parts))
        if kind == 3:
            return Step("donate", who, (self.choose.choice(self.site.pools[:3]), self.choose.choice(_AMOUNTS[:5])))
        if kind == 4:
            contract = self._pick("core", "staking", "mediation", "jobs", "resolver")
            return Step("gift", who, (token, self.site.at(contract), self.choose.choice(_AMOUNTS[:4])))
        deal = self._deal()
        if deal is None:
            return None
        if kind in (5, 6):
            return Step("sweep", who, (deal.accrual,))
        if kind == 7:
            return Step("claim_royalty", self._pick(self.publisher, self.publisher, who), (deal.accrual, deal.record.pair.module))
        return Step("claim_solver_fee", who, (deal.accrual,))

    # ---- offers and openings

    def _deal(self) -> Deal | None:
        every = list(self.model.deals.all.values())
        return self.choose.choice(every) if every else None

    def _resource(self) -> Pair:
        """A fresh resource offer, as a pair without a job. It may serve again."""
        choose, pool = self.choose, self.choose.choice((0, 0, 0, 1, 1, 1, 2, 3))
        terms, module = self.site.pools[pool], self.site.modules[choose.choice((0,) * 16 + (1, 1, 1, 2))]
        token = terms.token if terms.is_verified and not self._chance(0.02) else choose.choice(self.site.tokens)
        solver = self._pick(NOBODY, NOBODY, self.solver)
        offer = ResourceOffer(
            choose.choice(self.people), token, choose.choice(_PRICES), choose.choice((0, 0, 1, COIN // 100)), 1_000, 1_000, 1_000,
            1_000, 1, 8, 3, ZERO, choose.choice((400_000, 400_000, 400_000, 100_000)), choose.choice((5, 5, 20)), 3_600, terms.id,
            solver, choose.choice((1, 2, UNLIMITED, UNLIMITED)), self.model.clock.time + choose.choice((60, 1_500, 1_500)),
            self._fresh(),
        )  # fmt: skip
        blank = Pair(_NO_JOB, offer, module, terms, resource_signed=not self._chance(0.02))
        self.offers.append(blank)
        return blank

    def _job(self, blank: Pair, creator: str, nonce: int | None = None) -> Pair:
        choose, resource = self.choose, blank.resource
        audit, collateral = choose.choice(_PRESETS) if blank.pool.is_verified or self._chance(0.03) else (0, choose.choice((0, 1_000, 20_000)))
        inputs = keccak(self._fresh().to_bytes(8, "big"))
        solver = resource.solver if resource.solver != NOBODY and self._chance(0.5) else self._pick(NOBODY, self.solver)
        if self._chance(0.02) and resource.solver == NOBODY:
            solver = choose.choice((creator, resource.provider))
        windows = choose.choice((5, 30, 60, 200)), choose.choice((5, 60, 200, 400))
        if self._chance(0.03):
            windows = choose.choice(((4, 60), (60, 4), (60, 3_601), (8 * 86_400, 60)))
        job = JobOffer(
            creator, blank.module.id, inputs, resource.token, 500 * COIN, choose.choice((5, 5, 5, 0)), 1, 1, 1, 0, 0,
            choose.choice((0, 0, 3)), *windows, collateral, audit, blank.pool.id, solver, choose.choice((0, 100, 100, 1_000)),
            self._pick(NOBODY, resource.provider), self.model.clock.time + choose.choice((30, 1_500, 1_500)),
            self._fresh() if nonce is None else nonce,
        )  # fmt: skip
        if self._chance(0.08):  # one number that must not be
            field, value = self._pick(("max_price", COIN), ("max_units", 1_001), ("ram_mib", 1_001), ("flags", 4), ("vram_mib", 9),
                                      ("solver_fee_bps", 1_001), ("expiry", self.model.clock.time - 1), ("audit_bps", 10_001))  # fmt: skip
            job = job._replace(**{field: value})
        return blank._replace(job=job, job_signed=not self._chance(0.02))

    def _blank(self) -> Pair:
        recent = [blank for blank in self.offers[-12:] if blank.resource.expiry >= self.model.clock.time or self._chance(0.05)]
        return self.choose.choice(recent) if recent and self._chance(0.5) else self._resource()

    def _creator(self, blank: Pair) -> str:
        others = [person for person in self.people if person != blank.resource.provider]
        return blank.resource.provider if self._chance(0.02) else self.choose.choice(others)

    def _nonce(self) -> tuple[str, int] | None:
        """A nonce that was used before, perhaps free again."""
        deal = self._deal()
        return (deal.record.creator, deal.record.pair.job.nonce) if deal and deal.record.creator != self.client else None

    def _open(self) -> Step:
        blank = self._blank()
        if self._chance(0.05) and (again := self._nonce()):
            return Step("open", self._somebody(), ((self._job(blank, *again),),))
        if self._chance(0.04) and (deal := self._deal()):
            return Step("open", self._somebody(), ((deal.record.pair,),))  # the same two offers
        asked = [
            request.offer for request in self.model.jobs.requests.values()
            if request.state == State.REQUESTED and (request.offer.expiry >= self.model.clock.time or self._chance(0.05))
        ]  # fmt: skip
        if asked and self._chance(0.5):
            return self._open_request(self.choose.choice(asked))
        number = self._pick(1, 1, 1, 1, 2, 3)
        return Step("open", self._somebody(), (self._fit(blank, number),))

    def _fit(self, blank: Pair, number: int) -> tuple[Pair, ...]:
        """Jobs that travel in one opening: they agree about the solver."""
        pairs = [self._job(blank, self._creator(blank)) for _ in range(number)]
        return tuple(pair for pair in pairs if pair.solver == pairs[0].solver)

    def _open_request(self, offer: JobOffer) -> Step:
        """A contract's job, with a provider made for it."""
        terms = next(terms for terms in self.site.pools if terms.id == offer.pool)
        module = next(module for module in self.site.modules if module.id == offer.module)
        resource = ResourceOffer(
            self.choose.choice(self.people), offer.token, COIN, 0, 1_000, 1_000, 1_000, 1_000, 1, 8, 3, ZERO, 400_000, 5, 3_600,
            terms.id, NOBODY, UNLIMITED, self.model.clock.time + 500, self._fresh(),
        )  # fmt: skip
        return Step("open", self._somebody(), ((Pair(offer, resource, module, terms),),))

    def _open_batch(self) -> Step:
        groups = [self._fit(self._blank(), self._pick(1, 2, 3)) for _ in range(self._pick(1, 2, 3))]
        return Step("open_batch", self._somebody(), (tuple(groups),))

    def _offers(self) -> Step:
        who, kind = self.choose.choice(self.people), self.choose.randrange(6)
        account = self._pick(who, who, self.choose.choice(self.people))
        if kind == 0:
            return Step("cancel_below", who, (account, self.choose.choice(self.site.tokens), *(max(self.counter - 60, 0),) * 2))
        if kind == 1:
            expiry = self.model.clock.time + self._pick(0, 100, 10_000)
            return Step("grant", who, (self._pick(self._somebody(), self._somebody(), NOBODY, who), self._pick(1, 2, 4, 7, 7, 0, 8), expiry))
        if kind == 2 and self.model.ledger.delegates:
            account, key = self.choose.choice(list(self.model.ledger.delegates))
            return Step("revoke", account, (key,))
        nonce = self.choose.choice(self.offers[-20:]).resource.nonce if self.offers and self._chance(0.5) else self.choose.randrange(self.counter + 3)
        return Step("cancel", who, (account, self._chance(0.5), nonce))

    def _ask(self) -> Step:
        terms: PoolTerms = self.choose.choice(self.site.pools)
        token = terms.token if terms.is_verified else self.site.tokens[0]
        audit, collateral = self.choose.choice(_PRESETS[:3]) if terms.is_verified else (0, 1_000)
        nonce = self.model.jobs.client.last_nonce + 1
        expiry = self.model.clock.time + self._pick(20, 300, 1_500, -1)
        offer = JobOffer(
            self.client, self.site.modules[0].id, sha256(INPUTS).digest(), token, 500 * COIN, 5, 1, 1, 1, 0, 0, 0, 30, 60, collateral,
            audit, terms.id, self._pick(NOBODY, self.solver), 100, NOBODY, expiry, nonce,
        )  # fmt: skip
        return Step("ask", self.keeper, (offer, self._pick(0, CALLBACK_GAS, CALLBACK_GAS, CALLBACK_GAS, 10_000_001)))


_NO_JOB = JobOffer(NOBODY, ZERO, ZERO, NOBODY, *(0,) * 11, 0, ZERO, NOBODY, 0, NOBODY, 0, 0)
