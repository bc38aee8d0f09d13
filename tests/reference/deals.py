"""How deals open, live and end. Protocol sections 3.4, 4, 6.1, 6.3 and 6.5 to 6.7.

Each call checks in the order that the interfaces promise, then moves money, then the deal. At the exact second of a deadline the
action still counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status, Verdict
from lilypad_agents.protocol.parameters import Parameters
from tests.reference.ledger import ACCEPTANCE, CANCELLED, RESULTS, Accrual, Ledger, Refused, require
from tests.reference.terms import (
    UNLIMITED,
    WHOLE,
    Opening,
    Pair,
    Price,
    Record,
    commitment_of,
    divided_up,
    is_drawn,
    price_of,
)
from tests.reference.words import NOBODY, ZERO

LARGEST = 2**96 - 1
DETECTION_BPS, DETERRENCE_BPS = 7_000, 9_600


class Lottery(Enum):
    PENDING = "the seed is not known yet"
    SPARED = "spared"
    DRAWN = "drawn"
    LOST = "the seed was lost, so that the deal counts as drawn"

    @property
    def draws(self) -> bool:
        return self in (Lottery.DRAWN, Lottery.LOST)


@dataclass
class Clock:
    """The block in which the next call runs, and the seeds of periods that are known; None: lost."""

    time: int
    block: int
    period_blocks: int
    seeds: dict[int, bytes | None]

    @property
    def period(self) -> int:
        return self.block // self.period_blocks


@dataclass
class Deal:
    """A deal that was opened. `owed`: what the beginner of its audit advanced and did not get back."""

    record: Record
    status: Status
    deadline: int
    kind: DisputeKind = DisputeKind.NONE
    delivery_challenged: bool = False
    period: int = 0
    commitment: int = 0
    beginner: str = NOBODY
    owed: int = 0

    @property
    def price(self) -> Price:
        return self.record.price

    @property
    def paid_audit(self) -> bool:
        """Whether the collateral paid the running audit."""
        return self.status == Status.IN_MEDIATION and self.kind == DisputeKind.AUDIT_EXPIRED

    @property
    def collateral_left(self) -> int:
        return self.price.collateral - (self.price.audit_fee if self.paid_audit else 0)

    @property
    def accrual(self) -> Accrual:
        r = self.record
        return Accrual(r.token, r.module, r.solver, r.strategy, r.pool)


class Deals:
    def __init__(self, ledger: Ledger, clock: Clock, parameters: Parameters, core: str, separator: bytes) -> None:
        self.ledger, self.clock, self.parameters, self.core, self.separator = ledger, clock, parameters, core, separator
        self.all: dict[bytes, Deal] = {}
        self.endings: dict[bytes, int] = {}  # how many endings each deal had

    # ---- opening, section 3.4

    def record(self, pair: Pair) -> Record:
        return Record(pair, price_of(pair, self.parameters.protocol_fee_bps), self.separator)

    def open(self, pairs: Sequence[Pair]) -> list[Deal]:
        """All or none of the pairs of one resource offer."""
        self._check_group(pairs[0])
        free, used, uses = dict(self.ledger.free), set(self.ledger.used), dict(self.ledger.uses)
        opened: list[Deal] = []
        try:
            for pair in pairs:
                opened.append(self._open_pair(pair))
        except Refused:
            for deal in opened:
                del self.all[deal.record.id], self.endings[deal.record.id]
                self.ledger.locked[deal.record.token, deal.record.creator] -= deal.price.total
                self.ledger.locked[deal.record.token, deal.record.provider] -= deal.price.collateral
            self.ledger.free.clear()
            self.ledger.free.update(free)
            self.ledger.used, self.ledger.uses = used, uses
            raise
        return opened

    def open_batch(self, groups: Sequence[Sequence[Pair]]) -> tuple[list[Deal], dict[tuple[int, int | None], str]]:
        """What can be opened, and what could not: by group and place in it (None: the whole group) the error."""
        opened, skipped = [], {}
        for number, pairs in enumerate(groups):
            try:
                self._check_group(pairs[0])
            except Refused as refused:
                skipped[number, None] = refused.args[0]
                continue
            for place, pair in enumerate(pairs):
                try:
                    opened.append(self._open_pair(pair))
                except Refused as refused:
                    skipped[number, place] = refused.args[0]
        return opened, skipped

    def _check_group(self, pair: Pair) -> None:
        """What does not depend on the job: pool, module, resource offer."""
        resource, module, pool, ledger = pair.resource, pair.module, pair.pool, self.ledger
        if pool.is_verified:
            require(pool.token == resource.token, "TokenNotOfPool")
            windows = 4 * (2 * (pool.commit_window + pool.reveal_window) + pool.appeal_window)
            require(windows <= self.parameters.mediation_limit // 2, "TermAbove")
            require(0 not in (pool.commit_window, pool.reveal_window, pool.appeal_window), "TermBelow")
            require(pool.seat_fee_floor * 8 >= pool.max_value, "TermBelow")
            largest = max(divided_up(pool.max_value * 125, 100), pool.seat_fee_floor, module.min_seat_fee)
            require(pool.seat_stake * 10 >= largest * 64, "TermBelow")
        require(module.royalty_bps <= (3_000 if module.royalty_to != NOBODY else 0), "TermAbove")
        require(module.strategy in (NOBODY, pool.strategy), "StrategyNotOfPool")
        require(module.deterministic, "ModuleNotOffered")
        require(self.clock.time <= resource.expiry, "OfferExpired")
        floor = ledger.floors.get((resource.token, resource.provider), (0, 0))[1]
        uses = ledger.uses.get((resource.provider, resource.nonce), 0)
        require(resource.nonce >= floor and uses != CANCELLED, "OfferCancelled")
        require(pair.resource_signed, "SignatureInvalid")

    def _open_pair(self, pair: Pair) -> Deal:
        job, resource, ledger = pair.job, pair.resource, self.ledger
        record = self.record(pair)
        self._check_fit(pair)
        self._check_money(pair, record.price)
        distinct = job.creator not in (NOBODY, resource.provider, pair.solver) and resource.provider != pair.solver
        require(distinct, "PartiesNotDistinct")
        require(self.clock.time <= job.expiry, "OfferExpired")
        uses = ledger.uses.get((resource.provider, resource.nonce), 0)
        require(resource.volume == UNLIMITED or uses < resource.volume, "VolumeUsedUp")
        require(record.id not in self.all, "DealExists")
        floor = ledger.floors.get((job.token, job.creator), (0, 0))[0]
        require(job.nonce >= floor and (job.creator, job.nonce) not in ledger.cancelled, "OfferCancelled")
        require((job.creator, job.nonce) not in ledger.used, "NonceUsed")
        require(pair.job_signed, "SignatureInvalid")
        price = record.price
        require(ledger.free[job.token, job.creator] >= price.total, "FundsMissing")
        require(ledger.free[job.token, resource.provider] >= price.collateral, "FundsMissing")
        ledger.used.add((job.creator, job.nonce))
        if resource.volume != UNLIMITED:
            ledger.uses[resource.provider, resource.nonce] = uses + 1
        ledger.lock(job.token, job.creator, price.total)
        ledger.lock(job.token, resource.provider, price.collateral)
        deal = Deal(record, Status.AGREED, self.clock.time + job.submit_window)
        self.all[record.id], self.endings[record.id] = deal, 0
        return deal

    def _check_fit(self, pair: Pair) -> None:
        """What the job needs against what the provider has, and the windows."""
        job, resource, limits = pair.job, pair.resource, self.parameters
        for needed, has in zip(job[6:11], resource[5:10], strict=True):
            require(needed <= has, "TermAbove")
        require(job.flags & ~resource.flags == 0, "TermAbove")
        require(job.max_units <= resource.max_units, "TermAbove")
        require(job.submit_window >= max(resource.min_submit_window, limits.min_submit_window), "TermBelow")
        require(job.submit_window <= limits.max_submit_window, "TermAbove")
        require(job.judge_window >= limits.min_judge_window, "TermBelow")
        require(job.judge_window <= min(resource.max_judge_window, limits.max_judge_window), "TermAbove")

    def _check_money(self, pair: Pair, price: Price) -> None:
        """Rates, sums, and sections 6.5 and 6.6."""
        job, pool = pair.job, pair.pool
        require(job.solver_fee_bps <= 1_000, "TermAbove")
        require(job.audit_bps <= WHOLE, "TermAbove")
        require(job.audit_bps >= pair.module.min_audit_bps, "TermBelow")
        require(job.collateral_bps <= pair.resource.max_collateral_bps, "TermAbove")
        require(price.value > 0, "TermBelow")
        require(price.value <= LARGEST and price.collateral <= LARGEST, "TermAbove")
        if pool.is_verified:
            require(price.value <= pool.max_value, "TermAbove")
            deters = job.audit_bps * DETECTION_BPS * (WHOLE + job.collateral_bps) >= DETERRENCE_BPS * WHOLE * WHOLE
            require(deters, "DeterrenceTooLow")
            require(price.collateral >= price.value + price.premium + price.audit_fee, "TermBelow")
            require(self.ledger.funds[pool.strategy, job.token, pool.id] >= price.audit_fee, "TermBelow")
        else:
            require(job.audit_bps == 0, "TermAbove")
        require(price.total <= job.max_price, "TermAbove")

    # ---- what everybody asks

    def find(self, deal_id: bytes, status: Status) -> Deal:
        """The deal, which has to be in a state."""
        deal = self.all.get(deal_id)
        if deal is None or deal.status != status:
            raise Refused("DealNotIn")
        return deal

    def by(self, deadline: int) -> None:
        require(self.clock.time <= deadline, "DeadlinePassed")

    def after(self, deadline: int) -> None:
        require(self.clock.time > deadline, "DeadlineAhead")

    def lottery(self, deal: Deal) -> Lottery:
        """Section 6.3: the seed of the period after the one of the submission decides."""
        if deal.price.audit_bps == 0:
            return Lottery.SPARED
        period = deal.period + 1
        if period not in self.clock.seeds:
            return Lottery.PENDING
        seed = self.clock.seeds[period]
        if seed is None:
            return Lottery.LOST
        return Lottery.DRAWN if is_drawn(seed, deal.record.id, deal.price.audit_bps) else Lottery.SPARED

    def _acts_for_provider(self, deal: Deal, who: str) -> None:
        require(self.ledger.is_actor(deal.record.provider, who, RESULTS, self.clock.time), "NotAuthorised")

    def _acts_for_creator(self, deal: Deal, who: str) -> bool:
        return self.ledger.is_actor(deal.record.creator, who, ACCEPTANCE, self.clock.time)

    def _spared(self, deal: Deal) -> None:
        found = self.lottery(deal)
        require(found != Lottery.PENDING, "SeedPending")
        require(not found.draws, "DealDrawn")

    def _drawn(self, deal: Deal) -> None:
        found = self.lottery(deal)
        require(found != Lottery.PENDING, "SeedPending")
        require(found.draws, "DealNotDrawn")

    # ---- results

    def submit(self, who: str, deal_id: bytes, commitment: int) -> None:
        deal = self.find(deal_id, Status.AGREED)
        self._acts_for_provider(deal, who)
        self._post(deal, commitment)

    def submit_signed(self, deal_id: bytes, commitment: int, signed: bool) -> None:
        deal = self.find(deal_id, Status.AGREED)
        require(signed, "SignatureInvalid")
        self._post(deal, commitment)

    def _post(self, deal: Deal, commitment: int) -> None:
        self.by(deal.deadline)
        require(commitment != 0, "CommitmentZero")
        deal.status, deal.commitment = Status.RESULTS_SUBMITTED, commitment
        deal.deadline = self.clock.time + deal.record.judge_window
        deal.period = self.clock.period if deal.price.audit_bps else 0

    def submit_and_settle(self, who: str, deal_id: bytes, opening: Opening, waived: bool) -> None:
        """Posted and waived in one call: no salt, no lottery."""
        deal = self.find(deal_id, Status.AGREED)
        self._acts_for_provider(deal, who)
        self.by(deal.deadline)
        require(waived, "SignatureInvalid")
        deal.commitment = commitment_of(deal_id, deal.record.provider, opening.digest, ZERO)
        self._pay(deal, opening.units)

    # ---- settling

    def settle(self, who: str, deal_id: bytes, opening: Opening, agreement: Agreement, signed: bool) -> None:
        deal = self.find(deal_id, Status.RESULTS_SUBMITTED)
        self.by(deal.deadline + self.parameters.reveal_window)
        self.matches(deal, opening)
        if agreement == Agreement.WAIVER:
            require(signed, "SignatureInvalid")
            require(not self.lottery(deal).draws, "DealDrawn")
        else:
            if self.clock.time <= deal.deadline and agreement == Agreement.ACCEPTANCE:
                require(signed, "SignatureInvalid")
            elif self.clock.time <= deal.deadline:
                require(self._acts_for_creator(deal, who), "AgreementMissing")
            self._spared(deal)
        self._pay(deal, opening.units)

    def matches(self, deal: Deal, opening: Opening) -> None:
        opened = commitment_of(deal.record.id, deal.record.provider, opening.digest, opening.salt)
        require(opened == deal.commitment, "CommitmentMismatch")

    def _pay(self, deal: Deal, units: int) -> None:
        price = deal.price
        gross = price.gross(units)
        fees = price.fees(gross)
        self._end(deal, Status.ACCEPTED, {deal.record.creator: price.total - gross - sum(fees), deal.record.provider: price.collateral + gross})
        self.ledger.accrue(deal.accrual, *fees)

    # ---- other ends without a verdict

    def decline(self, who: str, deal_id: bytes) -> None:
        deal = self.find(deal_id, Status.AGREED)
        record, price = deal.record, deal.price
        self._acts_for_provider(deal, who)
        self.by(deal.deadline - record.submit_window + record.submit_window // 4)
        cost = price.decline_cost
        self._end(deal, Status.DECLINED, {record.creator: price.total + cost, record.provider: price.collateral - cost})
        self.ledger.used.discard((record.creator, record.pair.job.nonce))

    def timeout_submit(self, who: str, deal_id: bytes) -> None:
        deal = self.find(deal_id, Status.AGREED)
        self.after(deal.deadline)
        self._late(deal, who, had_result=False)

    def timeout_reveal(self, who: str, deal_id: bytes) -> None:
        deal = self.find(deal_id, Status.RESULTS_SUBMITTED)
        self.after(deal.deadline + self.parameters.reveal_window)
        self._spared(deal)
        self._late(deal, who, had_result=True)

    def _late(self, deal: Deal, keeper: str, *, had_result: bool, claim: int = 0) -> None:
        """The keeper's bounty comes out of the penalty, premium and claim out of the collateral besides."""
        price, record = deal.price, deal.record
        premium, bounty = price.premium if had_result else 0, price.bounty if keeper != NOBODY else 0
        rest = price.collateral - price.penalty - premium - claim
        self.ledger.funds[deal.accrual.fund] += premium
        parts = ((record.creator, price.total + price.penalty - bounty), (record.provider, rest), (keeper, bounty), (record.strategy, claim))
        self._end(deal, Status.TIMED_OUT, _added(parts))

    def close(self, deal_id: bytes, to_creator: int, to_provider: int, expiry: int, signed: tuple[bool, bool]) -> None:
        """As both signed. What had a result pays the premium."""
        deal = self.all.get(deal_id)
        premium = 0
        if deal is not None and deal.status == Status.RESULTS_SUBMITTED:
            require(not self.lottery(deal).draws, "DealDrawn")
            self.by(deal.deadline + self.parameters.reveal_window)
            premium = deal.price.premium
        else:
            deal = self.find(deal_id, Status.AGREED)
            self.by(deal.deadline)
        self.by(expiry)
        require(all(signed), "SignatureInvalid")
        require(to_creator + to_provider == deal.price.total + deal.price.collateral - premium, "SplitUnbalanced")
        self.ledger.funds[deal.accrual.fund] += premium
        self._end(deal, Status.CLOSED_BY_AGREEMENT, {deal.record.creator: to_creator, deal.record.provider: to_provider})

    # ---- disputes begin, section 6.1

    def challenge(self, who: str, deal_id: bytes) -> None:
        deal = self._challengeable(deal_id)
        kind = DisputeKind.CHALLENGE_DRAWN if self.lottery(deal).draws else DisputeKind.CHALLENGE
        self._begin(deal, kind, who, deal.price.challenge_fee)

    def challenge_delivery(self, who: str, deal_id: bytes) -> None:
        deal = self._challengeable(deal_id)
        require(self._acts_for_creator(deal, who), "NotAuthorised")
        require(not deal.delivery_challenged, "DeliveryChallengedBefore")
        self._begin(deal, DisputeKind.DELIVERY, who, deal.price.delivery_fee)

    def _challengeable(self, deal_id: bytes) -> Deal:
        deal = self.find(deal_id, Status.RESULTS_SUBMITTED)
        require(deal.price.verified, "DealUnverified")
        self.by(deal.deadline)
        return deal

    def audit(self, who: str, deal_id: bytes, most: int) -> None:
        """Paid by the fund, and by at most `most` of the caller's credit; after a lost seed by the collateral."""
        deal = self.find(deal_id, Status.RESULTS_SUBMITTED)
        self.by(deal.deadline + self.parameters.mediation_limit)
        self._drawn(deal)
        fee = deal.price.audit_fee
        if self.lottery(deal) == Lottery.LOST:
            return self._begin(deal, DisputeKind.AUDIT_EXPIRED, who, 0, from_collateral=fee)
        from_fund = min(self.ledger.funds[deal.accrual.fund], fee)
        require(fee - from_fund <= most, "FundShort")
        return self._begin(deal, DisputeKind.AUDIT, who, fee - from_fund, from_fund=from_fund)

    def _begin(
        self, deal: Deal, kind: DisputeKind, who: str, fee: int, *, from_fund: int = 0, from_collateral: int = 0
    ) -> None:
        """The fee goes to the strategy's account."""
        token, ledger = deal.record.token, self.ledger
        require(ledger.free[token, who] >= fee, "FundsMissing")
        ledger.free[token, who] -= fee
        ledger.funds[deal.accrual.fund] -= from_fund
        ledger.locked[token, deal.record.provider] -= from_collateral
        ledger.free[token, deal.record.strategy] += fee + from_fund + from_collateral
        deal.status, deal.kind, deal.deadline = Status.IN_MEDIATION, kind, self.clock.time + self.parameters.mediation_limit
        deal.delivery_challenged = deal.delivery_challenged or kind == DisputeKind.DELIVERY
        deal.beginner, deal.owed = who, fee if kind == DisputeKind.AUDIT else 0

    # ---- disputes end

    def most_claim(self, deal: Deal, verdict: Verdict, units: int = 0) -> int:
        """Section 6.1: bounds of what a strategy may claim."""
        price = deal.price
        if verdict == Verdict.CORRECT:
            return min(price.challenge_fee, deal.collateral_left + price.gross(units))
        if verdict == Verdict.WRONG:
            return deal.collateral_left - price.premium - price.value
        if verdict == Verdict.NOT_DELIVERED:
            return price.collateral - price.penalty - price.premium
        return 0

    def check_verdict(self, who: str, deal_id: bytes, verdict: Verdict, opening: Opening, claim: int) -> Deal:
        deal = self.find(deal_id, Status.IN_MEDIATION)
        require(who == deal.record.strategy, "StrategyOnly")
        self.by(deal.deadline)
        about_delivery = verdict in (Verdict.DELIVERED, Verdict.NOT_DELIVERED)
        possible = verdict == Verdict.NO_FAULT or about_delivery == (deal.kind == DisputeKind.DELIVERY)
        require(possible, "VerdictNotPossible")
        if verdict == Verdict.CORRECT:
            self.matches(deal, opening)
        require(claim <= self.most_claim(deal, verdict, opening.units), "ClaimTooHigh")
        return deal

    def resolve(self, who: str, deal_id: bytes, verdict: Verdict, opening: Opening, claim: int, bounty_to: str) -> None:
        deal = self.check_verdict(who, deal_id, verdict, opening, claim)
        if verdict == Verdict.CORRECT:
            self._found_correct(deal, opening.units, claim)
        elif verdict == Verdict.WRONG:
            self._found_wrong(deal, claim, bounty_to)
        elif verdict == Verdict.NOT_DELIVERED:
            self._late(deal, bounty_to, had_result=True, claim=claim)
        elif verdict == Verdict.NO_FAULT:
            self._no_fault(deal)
        else:
            deal.status, deal.kind = Status.RESULTS_SUBMITTED, DisputeKind.NONE
            deal.deadline = self.clock.time + deal.record.judge_window

    def _found_correct(self, deal: Deal, units: int, claim: int) -> None:
        """As a settlement; what others get is not accrued but where it belongs at once."""
        price, record = deal.price, deal.record
        gross = price.gross(units)
        royalty, solver_fee, to_fund = price.fees(gross)
        self.ledger.add_fees(deal.accrual.fees, royalty, solver_fee)
        self.ledger.funds[deal.accrual.fund] += to_fund
        parts = ((record.creator, price.total - gross - royalty - solver_fee - to_fund),
                 (record.provider, deal.collateral_left + gross - claim), (record.strategy, claim))  # fmt: skip
        self._end(deal, Status.MEDIATION_ACCEPTED, _added(parts))

    def _found_wrong(self, deal: Deal, claim: int, bounty_to: str) -> None:
        """Section 6.7, in its order."""
        price, record = deal.price, deal.record
        left = deal.collateral_left - price.premium - price.value - claim
        earns = deal.kind == DisputeKind.CHALLENGE and bounty_to != NOBODY
        bounty = min(left, price.collateral * 500 // WHOLE) if earns else 0
        self.ledger.funds[deal.accrual.fund] += price.premium + left - bounty
        parts = ((record.creator, price.total + price.value), (record.strategy, claim), (bounty_to, bounty))
        self._end(deal, Status.MEDIATION_REJECTED, _added(parts))

    def timeout_mediation(self, deal_id: bytes) -> None:
        deal = self.all.get(deal_id)
        if deal is not None and deal.status == Status.RESULTS_SUBMITTED:
            self._drawn(deal)
            self.after(deal.deadline + self.parameters.mediation_limit)
        else:
            deal = self.find(deal_id, Status.IN_MEDIATION)
            self.after(deal.deadline)
        self._no_fault(deal)

    def _no_fault(self, deal: Deal) -> None:
        price, record = deal.price, deal.record
        self.ledger.funds[deal.accrual.fund] += price.premium
        self._end(deal, Status.NO_FAULT, {record.creator: price.total - price.premium, record.provider: deal.collateral_left})

    def repay_advance(self, deal_id: bytes) -> None:
        deal = self.all.get(deal_id)
        due = min(deal.owed, self.ledger.funds[deal.accrual.fund]) if deal is not None and deal.status.is_final else 0
        if deal is None or not due:
            raise Refused("AdvanceNotDue")
        self.ledger.funds[deal.accrual.fund] -= due
        self.ledger.free[deal.record.token, deal.beginner] += due
        deal.owed -= due

    # ---- shared

    def _end(self, deal: Deal, status: Status, credits: dict[str, int]) -> None:
        """The escrow of both goes; a final deal keeps the kind of the dispute that ended it, and the time of its end."""
        record, ledger = deal.record, self.ledger
        ledger.locked[record.token, record.creator] -= deal.price.total
        ledger.locked[record.token, record.provider] -= deal.collateral_left
        for account, amount in credits.items():
            assert amount >= 0, "a party would pay twice"
            ledger.free[record.token, account] += amount
        deal.status, deal.deadline = status, self.clock.time
        self.endings[record.id] += 1


def _added(parts: Sequence[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for account, amount in parts:
        if amount:
            sums[account] = sums.get(account, 0) + amount
    return sums
