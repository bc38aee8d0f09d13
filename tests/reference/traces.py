"""Makes up histories: steps that somebody may take, steps that nobody may, and time, from a seed.

A generator looks at the model to find what is legal, so that histories get deep; what it adds on top is wrong callers, wrong
moments, wrong numbers and calls that the state does not know.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status, Verdict
from tests.reference.chain import CALLBACK_GAS, COIN, INPUTS, MEDIATORS, PEOPLE, PERIOD_BLOCKS, Site, content_of
from tests.reference.deals import Deal, Lottery
from tests.reference.jobs import State
from tests.reference.protocol import Protocol, Step
from tests.reference.rounds import CANNOT_RUN, MODULE_BROKEN, SERVED, UNAVAILABLE, Phase, Round, Seat
from tests.reference.terms import UNLIMITED, JobOffer, Opening, Pair, PoolTerms, ResourceOffer, commitment_of
from tests.reference.words import NOBODY, ZERO, keccak

# Audit rate and collateral, basis points: usual ones that open, and some that must not.
_PRESETS = ((800, 162_000), (800, 170_000), (5_000, 80_000), (5_000, 80_000), (10_000, 80_000), (2_000, 80_000), (2_000, 80_000),
            (10_000, 80_000), (799, 161_000))  # fmt: skip
_PRICES = (COIN, COIN, COIN, COIN, COIN + 7, COIN + 7, 2 * COIN, 2 * COIN, 3 * COIN, 3 * COIN, 1, 11 * COIN)
_AMOUNTS = (0, 1, COIN, 7 * COIN, 40 * COIN, 300 * COIN, 10**24)
_THEMES = ("right", "right", "right", "wrong", "wrong", "unserved", "unavailable", "broken", "cannot run", "apart", "mixed", "mixed")
_WORDS = {"unavailable": UNAVAILABLE, "broken": MODULE_BROKEN, "cannot run": CANNOT_RUN}
_BY_DEAL = ("timeout_submit", "timeout_reveal", "timeout_mediation", "challenge", "challenge_delivery", "decline", "repay_advance",
            "queue", "draw", "advance", "appeal", "unwind")  # fmt: skip


class Traces:
    """One history. `next()` answers a step for the state in which `model` is."""

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

    def next(self) -> Step:
        step: Step | None = None
        while step is None:
            dice = self.choose.random()
            step = next(make() for limit, make in self._table() if dice < limit)
        if self._chance(0.03) and step.call not in ("wait", "seed", "ask", "take_back", "refuse", "resolve"):
            return step._replace(who=self._somebody())  # somebody else tries it
        keys = [key for account, key in self.model.ledger.delegates if account == step.who]
        if keys and self._chance(0.2):
            return step._replace(who=self.choose.choice(keys))  # a delegate does, with the right scope or another
        return step

    def _table(self) -> tuple[tuple[float, Callable[[], Step | None]], ...]:
        return (
            (0.66, self._on_focus), (0.74, self._open), (0.76, self._open_batch), (0.80, self._money), (0.83, self._stakes),
            (0.85, self._jobs), (0.87, self._offers), (0.89, self._batches), (0.91, self._time), (1.01, self._anything),
        )  # fmt: skip

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

    # ---- time

    def _time(self) -> Step | None:
        clock = self.model.clock
        pending = [period for period in range(max(clock.period - 8, 0), clock.period + 1) if period not in clock.seeds]
        if pending and self._chance(0.6):
            return self.seed(self.choose.choice(pending))
        return self._wait(self._pick(0, 1, 1, 3, 6, 12, 40))

    def _wait(self, seconds: int) -> Step:
        blocks = seconds if self._chance(0.9) else seconds // 2
        return Step("wait", self.keeper, (seconds, blocks))

    def _wait_until(self, time: int) -> Step | None:
        """To a second around a deadline."""
        ahead = time + self._pick(-1, 0, 1, 1, 1) - self.model.clock.time
        return self._wait(ahead) if ahead > 0 else None

    def seed(self, period: int) -> Step:
        lost = self._chance(0.06)
        return Step("seed", self.keeper, (period, None if lost else keccak(self.choose.randbytes(8))))

    def _learn(self, period: int) -> Step | None:
        """The next thing to do for knowing the seed of a period."""
        clock = self.model.clock
        if period > clock.period:
            return self._wait(min((period * PERIOD_BLOCKS - clock.block), 40))
        return self.seed(period) if period not in clock.seeds else None

    # ---- the life of a deal

    def _live(self) -> list[bytes]:
        return [id_ for id_, deal in self.model.deals.all.items() if not deal.status.is_final or self._leftover(deal)]

    def _leftover(self, deal: Deal) -> bool:
        dispute = self.model.mediation.disputes.get(deal.record.id)
        return bool(deal.owed) or deal.status.is_final and dispute is not None and not dispute.over

    def _on_focus(self) -> Step | None:
        deal = self.model.deals.all.get(self.focus) if self.focus else None
        if deal is None or self._chance(0.08) or (deal.status.is_final and not self._leftover(deal)):
            live = self._live()
            if not live:
                return self._open()
            self.focus = self.choose.choice(live)
        deal = self.model.deals.all[self.focus]  # type: ignore[index]
        if deal.status == Status.AGREED:
            return self._agreed(deal)
        if deal.status == Status.RESULTS_SUBMITTED:
            return self._submitted(deal)
        if deal.status == Status.IN_MEDIATION:
            return self._judged(deal) if deal.record.strategy == self.model.places.mediation else self._puppet(deal)
        return self._ended(deal)

    def result(self, deal: Deal) -> Opening:
        """What its provider found."""
        if deal.record.id not in self.results:
            units = self.choose.choice((0, 3, 5, 9)) if deal.price.unit_price else 0
            self.results[deal.record.id] = Opening(units.to_bytes(32, "big"), content_of(self._stdout(deal)), keccak(self.choose.randbytes(8)))
        return self.results[deal.record.id]

    def _stdout(self, deal: Deal) -> bytes:
        return b"" if deal.record.id[0] & 1 else deal.record.id[:8]

    def commitment(self, deal: Deal) -> int:
        return commitment_of(deal.record.id, deal.record.provider, self.result(deal).digest, self.result(deal).salt)

    def _agreed(self, deal: Deal) -> Step | None:
        id_, provider, kind = deal.record.id, deal.record.provider, self.choose.randrange(40)
        if self.model.clock.time > deal.deadline and kind < 34:
            return Step("timeout_submit", self._somebody(), (id_,))
        if kind < 24:
            return Step("submit", provider, (id_, self.commitment(deal)))
        if kind < 27:
            return Step("submit_signed", self._somebody(), (((id_, self.commitment(deal), self._signs(provider)),),))
        if kind < 30:
            return Step("submit_and_settle", provider, (id_, self.result(deal), self._signs(deal.record.creator)))
        if kind < 33:
            return Step("decline", provider, (id_,))
        if kind < 35:
            return self._close(deal)
        if kind < 36:
            return Step("timeout_submit", self._somebody(), (id_,))
        if kind < 38:
            return self._wait_until(self._pick(deal.deadline, deal.deadline - deal.record.submit_window + deal.record.submit_window // 4))
        return None

    def _close(self, deal: Deal) -> Step:
        premium = deal.price.premium if deal.status == Status.RESULTS_SUBMITTED else 0
        escrow = deal.price.total + deal.price.collateral - premium
        to_creator = escrow * self.choose.randrange(1_001) // 1_000
        rest = escrow - to_creator + (self._pick(1, deal.price.premium) if self._chance(0.1) else 0)
        signed = self._signs(deal.record.creator), self._signs(deal.record.provider)
        expiry = self.model.clock.time + self._pick(0, 100, 100, -1 if self._chance(0.2) else 1)
        return Step("close", self._somebody(), (deal.record.id, to_creator, rest, expiry, signed))

    def _submitted(self, deal: Deal) -> Step | None:
        id_, found, kind = deal.record.id, self.model.deals.lottery(deal), self.choose.randrange(40)
        if deal.price.verified and kind < 5 and self.model.clock.time <= deal.deadline:
            return Step("challenge", self._somebody(), (id_,))
        if deal.price.verified and kind < 8 and not deal.delivery_challenged:
            return Step("challenge_delivery", deal.record.creator, (id_,))
        if kind < 9:
            return self._close(deal)
        if kind < 12:
            return self._settle(deal, Agreement.WAIVER)
        if kind < 15:
            limits = self.model.deals.parameters
            return self._wait_until(deal.deadline + self._pick(0, 0, limits.reveal_window, limits.mediation_limit))
        if found == Lottery.PENDING:
            return self._learn(deal.period + 1) if kind < 36 else Step("audit", self._somebody(), (id_, 0))
        if found.draws:
            if kind < 34:
                return Step("audit", self._somebody(), (id_, self._pick(0, 0, 10**24)))
            return Step("timeout_mediation", self._somebody(), (id_,))
        if self.model.clock.time > deal.deadline + self.model.deals.parameters.reveal_window:
            return Step("timeout_reveal", self._somebody(), (id_,))
        return self._settle(deal, self._pick(Agreement.NONE, Agreement.ACCEPTANCE, Agreement.ACCEPTANCE))

    def _settle(self, deal: Deal, agreement: Agreement) -> Step:
        opening = self.result(deal)
        if self._chance(0.04):
            opening = opening._replace(salt=keccak(opening.salt))
        who = self._pick(deal.record.creator, deal.record.provider, self._somebody())
        who = self.keeper if who == self.client else who  # it has no function for this
        return Step("settle", who, (deal.record.id, opening, agreement, self._signs(deal.record.creator)))

    def _puppet(self, deal: Deal) -> Step | None:
        """A strategy that says whatever it likes."""
        if self._chance(0.1):
            return self._wait_until(deal.deadline)
        if self._chance(0.1):
            return Step("timeout_mediation", self._somebody(), (deal.record.id,))
        about_delivery = deal.kind == DisputeKind.DELIVERY
        fitting = (Verdict.DELIVERED, Verdict.NOT_DELIVERED, Verdict.NO_FAULT) if about_delivery else tuple(Verdict)[:3]
        verdict = self.choose.choice(fitting if self._chance(0.9) else tuple(Verdict))
        opening = self.result(deal)
        most = self.model.deals.most_claim(deal, verdict, opening.units)
        claim = self._pick(0, 0, most, most // 3, most + 1)
        who = self.puppet if self._chance(0.97) else self._somebody()
        return Step("resolve", who, (deal.record.id, verdict, opening, max(claim, 0), self._pick(self.keeper, NOBODY, self._somebody())))

    def _ended(self, deal: Deal) -> Step | None:
        dispute = self.model.mediation.disputes.get(deal.record.id)
        if dispute is not None and not dispute.over and self._chance(0.7):
            return Step("unwind", self._somebody(), (deal.record.id,))
        return Step("repay_advance", self._somebody(), (deal.record.id,))

    # ---- disputes

    def _judged(self, deal: Deal) -> Step | None:
        id_ = deal.record.id
        if self._chance(0.015):
            return self._wait_until(deal.deadline - self._pick(0, self.model.mediation.last_call))
        if self.model.clock.time > deal.deadline:
            return Step("timeout_mediation", self._somebody(), (id_,))
        if self.model.clock.time > deal.deadline - self.model.mediation.last_call:
            return self._execute(deal)
        r = self.model.mediation.current(id_)
        if r is None or r.phase == Phase.DUE:
            return Step("queue", self._somebody(), (id_,))
        steps: dict[Phase, Callable[[Deal, Round], Step | None]] = {
            Phase.QUEUED: self._draw, Phase.COMMIT: self._commit, Phase.OPEN: self._open_result, Phase.REVEAL: self._reveal,
            Phase.APPEALABLE: self._appeal, Phase.EXECUTABLE: lambda deal, r: self._execute(deal),
        }  # fmt: skip
        if self._chance(0.02):
            return Step("advance", self._somebody(), (id_,))
        return steps[r.phase](deal, r)

    def _draw(self, deal: Deal, r: Round) -> Step | None:
        pool = self.model.stakes[deal.record.pool][1]
        front = pool.front()
        ticket = self.model.mediation.disputes[deal.record.id].redraw_ticket if r.redrawn else r.ticket
        learn = self._learn(pool.period_of(front)) if front < len(pool.tickets) else None
        if learn is not None and self._chance(0.95):
            return learn
        if front != ticket and front < len(pool.tickets):
            if pool.tickets[front].state == "cancelled" or self._chance(0.1):
                return Step("draw_cancelled", self._somebody(), (deal.record.pair.pool, front))
            self._focus_on(deal.record.pool, front)
        return Step("draw", self._somebody(), (deal.record.id,))

    def _focus_on(self, pool: bytes, ticket: int) -> None:
        """The dispute that waits in front of this one."""
        for id_, dispute in self.model.mediation.disputes.items():
            waits = not dispute.over and dispute.last.phase == Phase.QUEUED
            number = dispute.redraw_ticket if dispute.last.redrawn else dispute.last.ticket
            if waits and number == ticket and self.model.deals.all[id_].record.pool == pool:
                self.focus = id_

    def _acts_for(self, account: str) -> str:
        operators = next(iter(self.model.stakes.values()))[1].operators
        return operators[account] if account in operators and self._chance(0.5) else account

    def _commit(self, deal: Deal, r: Round) -> Step | None:
        if self._chance(0.03):
            return self._wait_until(r.deadline)
        id_, seats = deal.record.id, r.silent
        seat = self.choose.choice(seats) if seats and self._chance(0.97) else self.choose.randrange(r.count + 1)
        account = r.accounts[min(seat, r.count - 1)]
        vote, served = self._vote(deal, r)
        salt = keccak(self.choose.randbytes(8))
        made = self.model.mediation.vote_commitment(id_, r, account, vote, salt)
        if seat in seats:
            self.secrets[id_, r.number, seat] = vote, salt, served
        return Step("commit", self._acts_for(account), (id_, seat, made if self._chance(0.99) else ZERO))

    def _vote(self, deal: Deal, r: Round) -> tuple[bytes, bool]:
        theme = self.themes.setdefault((deal.record.id, r.number), self.choose.choice(_THEMES))
        if theme == "mixed" or self._chance(0.15):
            theme = self.choose.choice(_THEMES[:-2])
        if r.delivery:
            return (SERVED if theme in ("right", "wrong", "apart") else _WORDS.get(theme, UNAVAILABLE)), True
        if theme in ("right", "unserved"):
            return self.result(deal).digest, theme == "right"
        if theme == "apart":
            return keccak(self.choose.randbytes(8)), True
        if self._chance(0.004):
            return self._pick(SERVED, ZERO), True  # no vote in such a dispute
        return _WORDS.get(theme, keccak(b"another digest")), True

    def _open_result(self, deal: Deal, r: Round) -> Step | None:
        if self._chance(0.08):
            return self._wait_until(r.deadline)
        data = keccak(deal.record.id) if self._chance(0.98) else ZERO
        if r.delivery != self._chance(0.02):
            return Step("name_data", deal.record.provider, (deal.record.id, data))
        opening = self.result(deal)
        if self._chance(0.02):
            opening = opening._replace(content=keccak(opening.content))
        return Step("open_result", deal.record.provider, (deal.record.id, opening, data))

    def _reveal(self, deal: Deal, r: Round) -> Step | None:
        id_ = deal.record.id
        seats = [seat for seat, state in enumerate(r.seats) if state == Seat.COMMITTED]
        if not seats or self._chance(0.03):
            return self._wait_until(r.deadline)
        seat = self.choose.choice(seats) if self._chance(0.97) else self.choose.randrange(r.count + 1)
        vote, salt, served = self.secrets.get((id_, r.number, seat), (UNAVAILABLE, ZERO, True))
        if self._chance(0.02):
            salt = keccak(salt)
        return Step("reveal", self._acts_for(r.accounts[min(seat, r.count - 1)]), (id_, seat, vote, salt, served))

    def _appeal(self, deal: Deal, r: Round) -> Step | None:
        if self._chance(0.35):
            return Step("appeal", self._somebody(), (deal.record.id,))
        return self._wait_until(r.deadline) or self._wait(1)

    def _execute(self, deal: Deal) -> Step:
        opening = self.result(deal)
        if self._chance(0.03):
            opening = opening._replace(salt=keccak(opening.salt))
        return Step("execute", self._somebody(), (deal.record.id, opening))

    # ---- stakes

    def _stakes(self) -> Step:
        terms, kind = self.choose.choice(self.site.pools[:2]), self.choose.randrange(12)
        who = self.choose.choice(self.mediators if self._chance(0.85) else self.people)
        pool, seat = self.model.stakes[terms.id][1], terms.seat_stake
        staked = pool.members[who].staked if who in pool.members else 0
        if kind < 4:
            return Step("stake", who, (terms, self._pick(0, 1, seat, seat, 3 * seat, 6 * seat + 5, 10**25)))
        if kind < 6:
            return Step("unbond", who, (terms, self._pick(0, 1, seat, seat, staked, max(staked - seat, 0), staked + 1)))
        if kind == 6:
            return Step("withdraw_stake", self._somebody(), (terms, who))
        if kind == 7:
            return Step("apply_pending", self._somebody(), (terms, self._pick(0, 1, 2, 10)))
        if kind == 8:
            return Step("set_operator", who, (self._pick(self._somebody(), NOBODY),))
        if kind < 11 and pool.tickets:
            return Step("draw_cancelled", self._somebody(), (terms, self._pick(min(pool.front(), len(pool.tickets) - 1), self.choose.randrange(len(pool.tickets)))))
        return Step("withdraw_stake", who, (terms, who))

    # ---- jobs

    def _jobs(self) -> Step | None:
        requests, kind = self.model.jobs.requests, self.choose.randrange(10)
        if kind < 3 or not requests:
            return self._ask()
        if kind == 3:
            return Step("refuse", self.keeper, (self._chance(0.4),))
        request_id = self.choose.choice(list(requests))
        offer = requests[request_id].offer
        if kind == 4:
            return Step("take_back", self.keeper, (request_id,))
        if kind < 7:
            return Step("deliver_unopened", self._somebody(), (offer,))
        deals = [deal for deal in self.model.deals.all.values() if deal.record.creator == self.client]
        deal = self.choose.choice(deals) if deals and self._chance(0.95) else self._deal()
        if deal is None:
            return None
        if kind == 7:
            return Step("deliver_failure", self._somebody(), (deal.record.id,))
        opening = self.result(deal)
        if self._chance(0.05):
            opening = opening._replace(salt=keccak(opening.salt))
        if deal.commitment and self._at_once(deal, opening):
            opening = opening._replace(salt=ZERO)
        return Step("deliver", self._somebody(), (deal.record.id, opening, self._stdout(deal), self._chance(0.7)))

    def _at_once(self, deal: Deal, opening: Opening) -> bool:
        return deal.commitment == commitment_of(deal.record.id, deal.record.provider, opening.digest, ZERO)

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

    # ---- batches, and what makes no sense

    def _batches(self) -> Step | None:
        deals = list(self.model.deals.all.values())
        if not deals:
            return None
        first = self.choose.choice(deals)
        if self._chance(0.5):
            chosen = self.choose.sample(deals, min(len(deals), 4))
            results = tuple((deal.record.id, self.commitment(deal), self._signs(deal.record.provider)) for deal in chosen)
            return Step("submit_signed", self._somebody(), (results,))
        alike = [deal for deal in deals if deal.record.shared == first.record.shared][:4]
        agreement = self._pick(*Agreement)
        items = tuple((deal.record.id, self.result(deal), agreement, self._signs(deal.record.creator)) for deal in alike)
        return Step("settle_batch", self._somebody(), (items,))

    def _anything(self) -> Step | None:
        """Any call about any deal by anybody."""
        deal, who = self._deal(), self._pick(self._somebody(), self._somebody(), self.keeper)
        if deal is None:
            return None
        id_, kind = deal.record.id, self.choose.randrange(24)
        if self._chance(0.3):
            who = self._pick(deal.record.provider, deal.record.creator if deal.record.creator != self.client else who)
        if kind < 12:
            call = self.choose.choice(_BY_DEAL)
            return Step(call, who, (id_,))
        if kind == 12:
            return Step("audit", who, (id_, self._pick(0, 10**24)))
        if kind == 13:
            return Step("submit", who, (id_, self._pick(self.commitment(deal), 0)))
        if kind == 14:
            return Step("submit_and_settle", who, (id_, self.result(deal), self._signs(deal.record.creator)))
        if kind in (15, 16):
            return self._settle(deal, self._pick(*Agreement))._replace(who=who)
        if kind == 17:
            return self._close(deal)
        if kind == 18:
            return Step("resolve", self._pick(self.puppet, who), (id_, self._pick(*Verdict), self.result(deal), self._pick(0, 1), self.keeper))
        if kind == 19:
            return Step("execute", who, (id_, self.result(deal)))
        if kind == 20:
            return Step("commit", who, (id_, self.choose.randrange(4), keccak(id_)))
        if kind == 21:
            return Step("reveal", who, (id_, self.choose.randrange(4), UNAVAILABLE, ZERO, True))
        if kind == 22:
            return Step("open_result", who, (id_, self.result(deal), keccak(id_)))
        return Step("name_data", who, (id_, keccak(id_)))


_NO_JOB = JobOffer(NOBODY, ZERO, ZERO, NOBODY, *(0,) * 11, 0, ZERO, NOBODY, 0, NOBODY, 0, 0)
