"""Makes up histories: steps that somebody may take, steps that nobody may, and time, from a seed.

A generator looks at the model to find what is legal, so that histories get deep; what it adds on top is wrong callers, wrong
moments, wrong numbers and calls that the state does not know.
"""

from __future__ import annotations

from collections.abc import Callable

from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status, Verdict
from tests.reference.chain import PERIOD_BLOCKS, content_of
from tests.reference.choices import Choices
from tests.reference.deals import Deal, Lottery
from tests.reference.protocol import Step
from tests.reference.rounds import CANNOT_RUN, MODULE_BROKEN, SERVED, UNAVAILABLE, Phase, Round, Seat
from tests.reference.terms import Opening, commitment_of
from tests.reference.words import NOBODY, ZERO, keccak

_THEMES = ("right", "right", "right", "wrong", "wrong", "unserved", "unavailable", "broken", "cannot run", "apart", "mixed", "mixed")
_WORDS = {"unavailable": UNAVAILABLE, "broken": MODULE_BROKEN, "cannot run": CANNOT_RUN}
_BY_DEAL = ("timeout_submit", "timeout_reveal", "timeout_mediation", "challenge", "challenge_delivery", "decline", "repay_advance",
            "queue", "draw", "advance", "appeal", "unwind")  # fmt: skip


class Traces(Choices):
    """One history. `next()` answers a step for the state in which `model` is."""

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
        if (edge := self._edge(deal)) is not None:
            return edge
        if deal.status == Status.AGREED:
            return self._agreed(deal)
        if deal.status == Status.RESULTS_SUBMITTED:
            return self._submitted(deal)
        if deal.status == Status.IN_MEDIATION:
            return self._judged(deal) if deal.record.strategy == self.model.places.mediation else self._puppet(deal)
        return self._ended(deal)

    def _edge(self, deal: Deal) -> Step | None:
        """At the last second of a clock or one later: what that clock ends or lets begin."""
        limits, end, now = self.model.deals.parameters, deal.deadline, self.model.clock.time
        quarter = end - deal.record.submit_window + deal.record.submit_window // 4
        clocks: dict[Status, tuple[tuple[int, Callable[[Deal], Step]], ...]] = {
            Status.AGREED: ((end, self._at_submit_deadline), (quarter, lambda deal: Step("decline", deal.record.provider, (deal.record.id,)))),
            Status.RESULTS_SUBMITTED: (
                (end, self._at_judge_deadline), (end + limits.reveal_window, self._at_reveal_deadline),
                (end + limits.mediation_limit, self._at_mediation_limit),
            ),
            Status.IN_MEDIATION: (
                (end, self._at_mediation_limit),
                (end - self.model.mediation.last_call, lambda deal: self._pick(self._execute(deal), Step("queue", self._somebody(), (deal.record.id,)))),
            ),
        }  # fmt: skip
        near = [make for moment, make in clocks.get(deal.status, ()) if now - moment in (0, 1)]
        return near[0](deal) if near and self._chance(0.6) else None

    def _at_submit_deadline(self, deal: Deal) -> Step:
        id_ = deal.record.id
        return self._pick(Step("timeout_submit", self._somebody(), (id_,)), Step("submit", deal.record.provider, (id_, self.commitment(deal))))

    def _at_judge_deadline(self, deal: Deal) -> Step:
        return self._pick(Step("challenge", self._somebody(), (deal.record.id,)), self._settle(deal, Agreement.NONE))

    def _at_reveal_deadline(self, deal: Deal) -> Step:
        timeout = Step("timeout_reveal", self._somebody(), (deal.record.id,))
        return self._pick(timeout, timeout, self._settle(deal, Agreement.WAIVER), self._close(deal))

    def _at_mediation_limit(self, deal: Deal) -> Step:
        timeout = Step("timeout_mediation", self._somebody(), (deal.record.id,))
        if deal.status == Status.IN_MEDIATION:
            return self._pick(timeout, self._execute(deal))
        return self._pick(timeout, Step("audit", self._somebody(), (deal.record.id, 10**24)))

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
