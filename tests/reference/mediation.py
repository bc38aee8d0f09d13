"""Disputes before the default strategy: rounds, what time does to them, tallies, and who gets what. Protocol section 6.2.

A round has 1, 3, 7 or 15 seats. What time does to a round is computed whenever somebody calls; nobody has to write it down.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from enum import IntEnum

from lilypad_agents.protocol.lifecycle import DisputeKind, Status, Verdict
from tests.reference.deals import Deal, Deals
from tests.reference.ledger import RESULTS, Refused, require
from tests.reference.staking import POSTPONED, PoolModel
from tests.reference.terms import Opening, PoolTerms
from tests.reference.words import NOBODY, ZERO, keccak, number_of, word, words

SIZES = (1, 3, 7, 15)
UNAVAILABLE, MODULE_BROKEN, CANNOT_RUN, SERVED = (number.to_bytes(32, "big") for number in (1, 2, 3, 4))
LAST_WORD = 255  # votes up to here are no digests


class Phase(IntEnum):
    NONE = 0
    DUE = 1
    QUEUED = 2
    COMMIT = 3
    OPEN = 4
    REVEAL = 5
    APPEALABLE = 6
    EXECUTABLE = 7
    EXECUTED = 8


class Seat(IntEnum):
    """What a seat said; from CONFIRMS on it has revealed."""

    SILENT = 0
    COMMITTED = 1
    CONFIRMS = 2
    UNSERVED = 3  # the provider's digest, but the result data was not there
    OTHER = 4  # another digest
    UNAVAILABLE = 5
    BROKEN = 6
    CANNOT_RUN = 7


class Finding(IntEnum):
    NONE = 0
    CONFIRMED = 1
    OTHER = 2
    UNSERVED = 3
    NOT_OPENED = 4
    BROKEN = 5
    DIVIDED = 6
    ABSENT = 7

    @property
    def side(self) -> str:
        """Whom it is for."""
        if self == Finding.CONFIRMED:
            return "provider"
        return "against" if self in (Finding.OTHER, Finding.UNSERVED, Finding.NOT_OPENED) else "neither"


@dataclass
class Round:
    """`opened`: the provider's digest (delivery: its data id) once it opened. `votes`: commitments, then other digests."""

    size: int  # index into SIZES
    delivery: bool
    phase: Phase = Phase.QUEUED
    deadline: int = 0
    ticket: int = 0
    accounts: tuple[str, ...] = ()
    seats: list[Seat] = field(default_factory=list)
    votes: list[bytes] = field(default_factory=list)
    opened: bytes = ZERO
    redrawn: bool = False
    lone_unserved: bool = False  # the first lone seat said Unavailable
    provider_late: bool = False  # so did the second
    finding: Finding = Finding.NONE  # of an earlier round
    appellant: str = NOBODY

    @property
    def number(self) -> int:
        return self.size + 4 * self.delivery

    @property
    def count(self) -> int:
        return SIZES[self.size]

    @property
    def is_drawn(self) -> bool:
        return bool(self.accounts)

    @property
    def silent(self) -> list[int]:
        return [seat for seat, state in enumerate(self.seats) if state == Seat.SILENT]

    def says(self, state: Seat) -> int:
        return self.seats.count(state)

    def to(self, phase: Phase, deadline: int) -> Round:
        moved = copy(self)
        moved.phase, moved.deadline = phase, deadline
        return moved

    @property
    def awaits_redraw(self) -> bool:
        """Due since seats missed their commit, for the first time."""
        return self.phase == Phase.DUE and not self.redrawn and bool(self.silent)

    @property
    def is_tallied(self) -> bool:
        due = self.phase == Phase.DUE and not self.awaits_redraw
        return due or self.phase in (Phase.APPEALABLE, Phase.EXECUTABLE)


def at(round_: Round, now: int, pool: PoolTerms) -> Round:
    """What time has made of a round: the table of section 6.2."""
    r = round_
    if not r.is_drawn or r.phase == Phase.QUEUED:
        return r
    if r.phase == Phase.COMMIT and now > r.deadline:
        if r.silent and not r.redrawn:
            return r.to(Phase.DUE, 0)
        if len(r.silent) == r.count:
            r = tallied(r, r.deadline, pool)
        else:
            r = r.to(Phase.REVEAL if r.opened != ZERO else Phase.OPEN, r.deadline + pool.reveal_window)
    if r.phase == Phase.OPEN and now > r.deadline:
        r = tallied(r, r.deadline, pool) if r.delivery else r.to(Phase.REVEAL, r.deadline + pool.reveal_window)
    if r.phase == Phase.REVEAL and now > r.deadline:
        r = tallied(r, r.deadline, pool)
    if r.phase == Phase.APPEALABLE and now > r.deadline:
        r = r.to(Phase.EXECUTABLE, 0)
    return r


def tallied(round_: Round, time: int, pool: PoolTerms) -> Round:
    """A lone seat's confirmation decides, unless the one before it was not served, and so does the provider's not opening;
    anything else brings the panel."""
    finding, _ = tally(round_)
    decides = finding == Finding.NOT_OPENED or (finding == Finding.CONFIRMED and not round_.lone_unserved)
    if round_.size == 0 and not decides:
        return round_.to(Phase.DUE, 0)
    return round_.to(Phase.APPEALABLE, time + pool.appeal_window)


def tally(r: Round) -> tuple[Finding, bytes]:
    """By strict majority of all seats; and the digest that Finding.OTHER is about."""
    counts = Counter(r.seats)

    def majority(number: int) -> bool:
        return 2 * number > r.count

    asked = r.delivery or len(r.silent) < r.count
    if asked and r.opened == ZERO:
        return Finding.NOT_OPENED, ZERO
    if majority(counts[Seat.CONFIRMS]):
        return Finding.CONFIRMED, ZERO
    if majority(counts[Seat.UNSERVED] + counts[Seat.UNAVAILABLE]):
        return Finding.UNSERVED, ZERO
    if majority(counts[Seat.BROKEN]):
        return Finding.BROKEN, ZERO
    for digest, number in Counter(vote for vote, state in zip(r.votes, r.seats, strict=True) if state == Seat.OTHER).items():
        if majority(number):
            return Finding.OTHER, digest
    ran = counts[Seat.CONFIRMS] + counts[Seat.UNSERVED] + counts[Seat.OTHER]
    return (Finding.DIVIDED if majority(ran) else Finding.ABSENT), ZERO


@dataclass
class Dispute:
    """The last round runs. `lost`: by seats that were replaced, less what their redraws cost; `lone`: a first lone seat that was."""

    rounds: list[Round]
    lone: str = NOBODY
    lost: int = 0
    redraw_ticket: int = 0
    over: bool = False

    @property
    def last(self) -> Round:
        return self.rounds[-1]


@dataclass
class Division:
    """Smallest units. `losses`: of each seat that ends now."""

    credits: Counter[str]
    to_fund: int
    claim: int
    losses: list[tuple[str, int]]


class Mediation:
    """`address`: of the contract, which is the strategy of its pools. `last_call`: seconds before the mediation deadline."""

    def __init__(self, deals: Deals, pools: dict[bytes, tuple[PoolTerms, PoolModel]], address: str, staking: str, last_call: int) -> None:
        self.deals, self.pools, self.address, self.staking, self.last_call = deals, pools, address, staking, last_call
        self.disputes: dict[bytes, Dispute] = {}
        self.marks: Counter[bytes] = Counter()

    # ---- what everybody asks

    def _find(self, deal_id: bytes) -> Deal:
        deal = self.deals.all[deal_id]
        require(deal.record.strategy == self.address, "StrategyNotThis")
        return deal

    def _running(self, deal: Deal) -> None:
        require(deal.status == Status.IN_MEDIATION, "NotInDispute")
        require(self.now <= deal.deadline - self.last_call, "LastCallPassed")

    @property
    def now(self) -> int:
        return self.deals.clock.time

    def of(self, deal_id: bytes) -> Dispute | None:
        """The present dispute; one about delivery that is over makes room for another."""
        dispute, deal = self.disputes.get(deal_id), self.deals.all.get(deal_id)
        if dispute and dispute.over and dispute.last.delivery and deal and deal.kind != DisputeKind.DELIVERY:
            return None
        return dispute

    def _pool(self, deal: Deal) -> tuple[PoolTerms, PoolModel]:
        return self.pools[deal.record.pool]

    def fee(self, deal: Deal) -> int:
        """Of a seat: re-running, or fetching alone."""
        return deal.price.seat_floor if deal.kind == DisputeKind.DELIVERY else deal.price.seat_fee

    def keepers_part(self, deal: Deal) -> int:
        """2 % of a seat's fee, rounded down."""
        return self.fee(deal) * 2 // 100

    def _excluded(self, deal: Deal) -> tuple[str, ...]:
        r = deal.record
        return r.creator, r.provider, r.solver, r.publisher

    def current(self, deal_id: bytes) -> Round | None:
        """The running round as it is now, for whoever looks."""
        dispute, deal = self.of(deal_id), self.deals.all[deal_id]
        return at(dispute.last, self.now, self._pool(deal)[0]) if dispute and not dispute.over else None

    # ---- seats

    def queue(self, who: str, deal_id: bytes) -> None:
        deal = self._find(deal_id)
        self._running(deal)
        dispute, (terms, pool) = self.of(deal_id), self._pool(deal)
        if dispute is None:
            first = 0 if deal.kind in (DisputeKind.AUDIT, DisputeKind.AUDIT_EXPIRED) else 1
            round_ = Round(first, deal.kind == DisputeKind.DELIVERY)
            round_.ticket = self._ask(deal, pool, round_, redraw=False, seats=round_.count)
            self.disputes[deal_id] = Dispute([round_])
            return
        require(not dispute.over, "PhaseWrong")
        round_ = at(dispute.last, self.now, terms)
        require(round_.phase == Phase.DUE, "PhaseWrong")
        if round_.awaits_redraw:
            self._replace_silent(deal, dispute, round_)
        elif self._lone_is_asked_again(round_):
            try:
                self._replace_lone(deal, dispute, round_)
            except Refused:
                self._next(deal, dispute, round_, late=False)
        else:
            self._next(deal, dispute, round_, late=round_.lone_unserved and round_.seats[0] == Seat.UNAVAILABLE)

    def _lone_is_asked_again(self, round_: Round) -> bool:
        """Once, when the lone seat found no digest."""
        return round_.seats[0] in (Seat.UNAVAILABLE, Seat.BROKEN, Seat.CANNOT_RUN) and not round_.redrawn

    def _ask(self, deal: Deal, pool: PoolModel, round_: Round, *, redraw: bool, seats: int) -> int:
        return pool.queue(self.round_key(deal, round_, redraw), seats, self._excluded(deal))

    def round_key(self, deal: Deal, round_: Round, redraw: bool) -> bytes:
        """The name by which the pool knows the round."""
        return keccak(deal.record.id + words(round_.number, redraw))

    def _replace_silent(self, deal: Deal, dispute: Dispute, round_: Round) -> None:
        """Silent seats lose a quarter of their stake and others are asked for, once. A pool that cannot: on without them."""
        terms, pool = self._pool(deal)
        silent = round_.silent
        try:
            ticket = self._ask(deal, pool, round_, redraw=True, seats=len(silent))
        except Refused:
            dispute.rounds[-1] = round_.to(Phase.COMMIT, self.now)
            dispute.last.redrawn = True
            return
        loss = terms.seat_stake // 4
        dispute.lost += self._release(deal, [(round_.accounts[seat], loss) for seat in silent])
        self._queue_again(dispute, round_, ticket)

    def _replace_lone(self, deal: Deal, dispute: Dispute, round_: Round) -> None:
        _, pool = self._pool(deal)
        ticket = self._ask(deal, pool, round_, redraw=True, seats=1)
        self._release(deal, [(round_.accounts[0], 0)])
        dispute.lone = round_.accounts[0]
        round_ = copy(round_)
        round_.lone_unserved = round_.seats[0] == Seat.UNAVAILABLE
        round_.seats = [Seat.SILENT]
        self._queue_again(dispute, round_, ticket)

    def _queue_again(self, dispute: Dispute, round_: Round, ticket: int) -> None:
        dispute.rounds[-1] = round_.to(Phase.QUEUED, 0)
        dispute.last.redrawn, dispute.redraw_ticket = True, ticket

    def _next(self, deal: Deal, dispute: Dispute, round_: Round, *, late: bool) -> None:
        """The next size."""
        following = Round(round_.size + 1, round_.delivery, opened=round_.opened, provider_late=late or round_.provider_late)
        following.ticket = self._ask(deal, self._pool(deal)[1], following, redraw=False, seats=following.count)
        round_ = copy(round_)
        round_.finding, _ = tally(round_)
        round_.phase, round_.deadline = Phase.EXECUTED, 0
        dispute.rounds[-1:] = [round_, following]

    def _release(self, deal: Deal, seats: list[tuple[str, int]]) -> int:
        """Ends seats; what they lose comes from the staking contract's account."""
        lost = self._pool(deal)[1].release(seats)
        self.deals.ledger.move(deal.record.token, self.staking, [(self.address, lost)])
        return lost

    def draw(self, who: str, deal_id: bytes) -> None:
        deal = self._find(deal_id)
        self._running(deal)
        dispute, (terms, pool) = self.of(deal_id), self._pool(deal)
        if dispute is None or dispute.over or dispute.last.phase != Phase.QUEUED:
            raise Refused("PhaseWrong")
        r = dispute.last
        result, drawn = pool.draw(dispute.redraw_ticket if r.redrawn else r.ticket)
        if result == POSTPONED:
            return
        fresh = iter(drawn)
        if r.redrawn:
            accounts = tuple(next(fresh) if state == Seat.SILENT else old for old, state in zip(r.accounts, r.seats, strict=True))
        else:
            accounts = drawn
            r.seats, r.votes = [Seat.SILENT] * r.count, [ZERO] * r.count
        phase = Phase.OPEN if r.delivery and r.opened == ZERO else Phase.COMMIT
        dispute.rounds[-1] = r.to(phase, self.now + (terms.reveal_window if r.delivery else terms.commit_window))
        dispute.last.accounts, dispute.redraw_ticket = accounts, 0
        self._pay_drawer(deal, dispute, who, len(drawn))

    def _pay_drawer(self, deal: Deal, dispute: Dispute, who: str, seats: int) -> None:
        """A third of the keepers' part of the drawn seats' fees; a redraw: at most what the replaced seats lost."""
        amount = seats * self.keepers_part(deal) // 3
        if dispute.last.redrawn:
            amount = min(amount, dispute.lost)
            dispute.lost -= amount
        self.deals.ledger.move(deal.record.token, self.address, [(who, amount)])

    # ---- votes. None of them looks at the core's clock.

    def _round(self, deal_id: bytes, phase: Phase) -> tuple[Deal, Dispute, Round]:
        deal, dispute = self.deals.all[deal_id], self.disputes.get(deal_id)
        if dispute is None or dispute.over:
            raise Refused("PhaseWrong")
        round_ = at(dispute.last, self.now, self._pool(deal)[0])
        require(round_.phase == phase, "PhaseWrong")
        return deal, dispute, copy(round_)

    def _seat(self, deal: Deal, round_: Round, who: str, seat: int, needed: Seat) -> str:
        require(seat < len(round_.accounts), "SeatUnknown")
        account = round_.accounts[seat]
        require(who == account or who == self._pool(deal)[1].operators.get(account), "SeatNotYours")
        require(round_.seats[seat] == needed, "SeatStateWrong")
        return account

    def commit(self, who: str, deal_id: bytes, seat: int, commitment: bytes) -> None:
        deal, dispute, r = self._round(deal_id, Phase.COMMIT)
        self._seat(deal, r, who, seat, Seat.SILENT)
        require(commitment != ZERO, "CommitmentZero")
        r.votes[seat], r.seats[seat] = commitment, Seat.COMMITTED
        if not r.silent:
            phase = Phase.REVEAL if r.opened != ZERO else Phase.OPEN
            r = r.to(phase, self.now + self._pool(deal)[0].reveal_window)
        dispute.rounds[-1] = r

    def open(self, who: str, deal_id: bytes, opening: Opening, data_id: bytes) -> None:
        deal, dispute, r = self._opening(who, deal_id, data_id, delivery=False)
        try:
            self.deals.matches(deal, opening)
        except Refused:
            raise Refused("OpeningMismatch") from None
        r.opened = opening.digest
        dispute.rounds[-1] = r.to(Phase.REVEAL, self.now + self._pool(deal)[0].reveal_window)

    def name_data(self, who: str, deal_id: bytes, data_id: bytes) -> None:
        deal, dispute, r = self._opening(who, deal_id, data_id, delivery=True)
        r.opened = data_id
        dispute.rounds[-1] = r.to(Phase.COMMIT, self.now + self._pool(deal)[0].reveal_window)

    def _opening(self, who: str, deal_id: bytes, data_id: bytes, *, delivery: bool) -> tuple[Deal, Dispute, Round]:
        deal, dispute, r = self._round(deal_id, Phase.OPEN)
        require(r.delivery == delivery, "NotInDispute")
        require(self.deals.ledger.is_actor(deal.record.provider, who, RESULTS, self.now), "ProviderOnly")
        require(data_id != ZERO, "DataIdZero")
        return deal, dispute, r

    def vote_commitment(self, deal_id: bytes, round_: Round, account: str, vote: bytes, salt: bytes) -> bytes:
        return keccak(deal_id + words(round_.number, account, vote, salt))

    def reveal(self, who: str, deal_id: bytes, seat: int, vote: bytes, salt: bytes, served: bool) -> None:
        deal, dispute, r = self._round(deal_id, Phase.REVEAL)
        account = self._seat(deal, r, who, seat, Seat.COMMITTED)
        require(self.vote_commitment(deal_id, r, account, vote, salt) == r.votes[seat], "VoteMismatch")
        state = self._meaning(r, vote, served)
        r.seats[seat], r.votes[seat] = state, vote if state == Seat.OTHER else ZERO
        if not r.says(Seat.COMMITTED):
            r = tallied(r, self.now, self._pool(deal)[0])
        dispute.rounds[-1] = r

    def _meaning(self, r: Round, vote: bytes, served: bool) -> Seat:
        if vote in (UNAVAILABLE, CANNOT_RUN):
            return Seat.UNAVAILABLE if vote == UNAVAILABLE else Seat.CANNOT_RUN
        if r.delivery:
            require(vote == SERVED, "VoteUnknown")
            return Seat.CONFIRMS
        if vote == MODULE_BROKEN:
            return Seat.BROKEN
        require(number_of(vote) > LAST_WORD, "VoteUnknown")
        if vote != r.opened:
            return Seat.OTHER
        return Seat.CONFIRMS if served else Seat.UNSERVED

    def advance(self, who: str, deal_id: bytes) -> None:
        """Writes down what time did."""
        deal, dispute = self.deals.all[deal_id], self.disputes.get(deal_id)
        if dispute is None or dispute.over:
            raise Refused("PhaseWrong")
        r = at(dispute.last, self.now, self._pool(deal)[0])
        require(r.phase != dispute.last.phase and not r.awaits_redraw, "PhaseWrong")
        dispute.rounds[-1] = r

    def appeal(self, who: str, deal_id: bytes) -> None:
        """Anybody pays for the next size, in tokens."""
        deal = self._find(deal_id)
        self._running(deal)
        dispute, (terms, pool) = self.of(deal_id), self._pool(deal)
        r = at(dispute.last, self.now, terms) if dispute and not dispute.over else None
        if dispute is None or r is None or r.phase != Phase.APPEALABLE:
            raise Refused("PhaseWrong")
        require(r.size < 3, "RoundIsLast")
        fee, token, ledger = SIZES[r.size + 1] * self.fee(deal), deal.record.token, self.deals.ledger
        require(pool.can_queue(SIZES[r.size + 1], self._excluded(deal)), "SeatsUnavailable")
        require(ledger.wallet[token, who] >= fee, "TokenRefuses")
        self._next(deal, dispute, r, late=False)
        dispute.last.appellant = who
        ledger.deposit(self.deals.core, token, who, self.address, fee)

    # ---- endings

    def execute(self, who: str, deal_id: bytes, opening: Opening) -> None:
        deal = self._find(deal_id)
        require(deal.status == Status.IN_MEDIATION, "NotInDispute")
        dispute, (terms, _) = self.of(deal_id), self._pool(deal)
        require(not (dispute and dispute.over), "PhaseWrong")
        rounds = self._rounds_at(dispute, self.now, terms)
        if self.now <= deal.deadline - self.last_call:
            require(bool(rounds) and rounds[-1].phase == Phase.EXECUTABLE, "PhaseWrong")
        standing = _standing(rounds)
        verdict = self._verdict(deal, standing)
        division = self._divide(deal, dispute, rounds, standing, who, unwound=False)
        bounty_to = {Verdict.NOT_DELIVERED: who, Verdict.WRONG: deal.beginner}.get(verdict, NOBODY)
        self.deals.check_verdict(self.address, deal_id, verdict, opening, division.claim)
        kind = deal.kind
        self._close(deal, dispute, rounds, division.losses)
        self.deals.resolve(self.address, deal_id, verdict, opening, division.claim, bounty_to)
        self._pay(deal, division)
        if standing in (Finding.BROKEN, Finding.DIVIDED) and kind != DisputeKind.DELIVERY:
            self.marks[deal.record.module] += 1

    def unwind(self, who: str, deal_id: bytes) -> None:
        """The deal ended otherwise: locks and fees go back, as on no fault."""
        deal = self._find(deal_id)
        require(deal.status.is_final, "DealNotEnded")
        require(deal.kind != DisputeKind.NONE, "NothingToUnwind")
        dispute, (terms, _) = self.of(deal_id), self._pool(deal)
        require(not (dispute and dispute.over), "NothingToUnwind")
        rounds = self._rounds_at(dispute, deal.deadline, terms)
        division = self._divide(deal, dispute, rounds, Finding.NONE, who, unwound=True)
        self._close(deal, dispute, rounds, division.losses)
        self._pay(deal, division)

    def _rounds_at(self, dispute: Dispute | None, time: int, terms: PoolTerms) -> list[Round]:
        if dispute is None:
            return []
        rounds = [*dispute.rounds[:-1], copy(at(dispute.last, time, terms))]
        if rounds[-1].is_drawn and rounds[-1].is_tallied:
            rounds[-1].finding, _ = tally(rounds[-1])
        return rounds

    def _verdict(self, deal: Deal, standing: Finding) -> Verdict:
        if deal.kind == DisputeKind.DELIVERY:  # a panel that says nothing has shown nothing against the provider
            return Verdict.NOT_DELIVERED if standing.side == "against" else Verdict.DELIVERED
        return {"provider": Verdict.CORRECT, "against": Verdict.WRONG, "neither": Verdict.NO_FAULT}[standing.side]

    def _close(self, deal: Deal, dispute: Dispute | None, rounds: list[Round], losses: list[tuple[str, int]]) -> None:
        pool = self._pool(deal)[1]
        if dispute is None:
            dispute = self.disputes[deal.record.id] = Dispute([Round(0 if _is_audit(deal) else 1, deal.kind == DisputeKind.DELIVERY)])
        elif rounds[-1].phase == Phase.QUEUED:
            pool.cancel(dispute.redraw_ticket if rounds[-1].redrawn else rounds[-1].ticket)
        if losses:
            self._release(deal, losses)
        dispute.over, dispute.lone, dispute.lost, dispute.redraw_ticket = True, NOBODY, 0, 0

    def _pay(self, deal: Deal, division: Division) -> None:
        self.deals.ledger.move(deal.record.token, self.address, division.credits.items())
        self.deals.ledger.donate(deal.accrual.fund, self.address, division.to_fund)

    def _divide(
        self, deal: Deal, dispute: Dispute | None, rounds: list[Round], standing: Finding, keeper: str, *, unwound: bool
    ) -> Division:
        """Section 6.2, "Money". Every unit that came in for the dispute goes out."""
        fee, keepers_part, side = self.fee(deal), self.keepers_part(deal), standing.side
        seat_part = fee - keepers_part
        begun = fee * (4 if _is_audit(deal) else 3)
        credits: Counter[str] = Counter()
        losses: list[tuple[str, int]] = []
        pot = unused_of_begun = keepers = 0
        returned: dict[int, int] = {}
        unused_of_begun = begun
        for index, r in enumerate(rounds):
            coherent = self._seats(deal, r, rounds, standing, losses)
            credits.update({account: seat_part * number for account, number in Counter(coherent).items()})
            spent = r.count * keepers_part // 3 if r.is_drawn else 0  # who drew was paid at once
            if r.finding != Finding.NONE:
                keepers += r.count * keepers_part - spent
                spent = r.count * keepers_part + len(coherent) * seat_part
                if side != "neither":
                    pot += r.count * fee - spent
                    spent = r.count * fee
            if r.appellant == NOBODY:
                unused_of_begun -= spent
            else:
                returned[index] = r.count * fee - spent
        pot += (dispute.lost if dispute else 0) + sum(loss for _, loss in losses)
        lone = dispute.lone if dispute else NOBODY
        lone_was_right = side == "neither" or (standing in (Finding.UNSERVED, Finding.NOT_OPENED) and rounds[0].lone_unserved)
        lone_owed = seat_part if lone != NOBODY and lone_was_right else 0
        brought = {i: rounds[i].count * fee - back for i, back in returned.items() if self._brought(rounds, i, standing)}
        challenger_owed = begun if side == "against" and not _is_audit(deal) else 0
        claim = 0
        if side == "provider" and deal.kind == DisputeKind.AUDIT and rounds[-1].provider_late:
            claim = 3 * fee
        if side == "against":
            verdict = Verdict.NOT_DELIVERED if deal.kind == DisputeKind.DELIVERY else Verdict.WRONG
            lacking = lone_owed + challenger_owed + sum(brought.values()) - pot - unused_of_begun
            claim = min(max(lacking, 0), self.deals.most_claim(deal, verdict))
        pot += claim
        to_fund = 0
        if side == "neither":
            given = min(lone_owed, unused_of_begun)
            credits[lone] += given
            unused_of_begun -= given
            lone_owed = 0
        if deal.kind == DisputeKind.AUDIT_EXPIRED and side != "against":
            credits[deal.record.provider] += unused_of_begun
        elif side == "neither" and not _is_audit(deal):
            credits[deal.beginner] += unused_of_begun
        elif side == "neither":
            to_fund = unused_of_begun
        else:
            pot += unused_of_begun
        for account, owed in ((lone, lone_owed), *((rounds[i].appellant, owed) for i, owed in brought.items()),
                              (deal.beginner, challenger_owed)):  # fmt: skip
            given = min(owed, pot)
            credits[account] += given
            pot -= given
        for index, back in returned.items():
            credits[rounds[index].appellant] += back
        if _is_audit(deal) and rounds and rounds[0].finding != Finding.NONE:
            credits[deal.beginner] += keepers_part // 3
            keepers -= keepers_part // 3
        credits[keeper] += keepers
        return Division(Counter({a: n for a, n in credits.items() if n}), to_fund + pot, claim, losses)

    def _brought(self, rounds: list[Round], index: int, standing: Finding) -> bool:
        """Whether the appeal for this round brought the verdict: it says so, and the round before did not."""
        r, before = rounds[index], rounds[index - 1]
        return r.finding != Finding.NONE and r.finding.side == standing.side != before.finding.side

    def _seats(self, deal: Deal, r: Round, rounds: list[Round], standing: Finding, losses: list[tuple[str, int]]) -> list[str]:
        """Adds what each seat of a drawn round loses; answers the accounts of the seats that are paid."""
        terms = self._pool(deal)[0]
        paid: list[str] = []
        if not r.is_drawn:
            return paid
        asked = r.opened != ZERO or not r.delivery  # about delivery nobody is asked before the data is named
        voting = r.phase == Phase.REVEAL or (r.phase == Phase.OPEN and not r.delivery)
        for seat, (account, state) in enumerate(zip(r.accounts, r.seats, strict=True)):
            if r.phase == Phase.QUEUED and state == Seat.SILENT:
                continue  # ended when its successor was asked for
            if r.finding == Finding.NONE:  # void: only those that let the commit window pass
                missed = state == Seat.SILENT and (voting or r.awaits_redraw)
                losses.append((account, terms.seat_stake // 4 if missed else 0))
            elif state in (Seat.SILENT, Seat.COMMITTED):
                losses.append((account, terms.seat_stake // 4 if asked else 0))
            else:
                agrees, contradicted = _judged(standing, state, r.votes[seat], _opened(deal, rounds), _right(rounds, standing))
                losses.append((account, terms.seat_stake if contradicted else 0))
                paid += [account] if agrees else []
        return paid


def _is_audit(deal: Deal) -> bool:
    return deal.kind in (DisputeKind.AUDIT, DisputeKind.AUDIT_EXPIRED)


def _standing(rounds: list[Round]) -> Finding:
    """The last round's; a void appeal leaves what stood before, and a lone seat's word that calls a panel does not stand."""
    if not rounds:
        return Finding.NONE
    last = rounds[-1]
    if last.finding != Finding.NONE:
        return Finding.NONE if last.phase == Phase.DUE else last.finding
    return rounds[-2].finding if last.appellant != NOBODY else Finding.NONE


def _opened(deal: Deal, rounds: list[Round]) -> bytes:
    """The provider's digest."""
    drawn = [r for r in rounds if r.is_drawn]
    return drawn[-1].opened if drawn and deal.kind != DisputeKind.DELIVERY else ZERO


def _right(rounds: list[Round], standing: Finding) -> bytes:
    """The digest that a finding of another digest is about."""
    if standing != Finding.OTHER:
        return ZERO
    return tally(rounds[-1] if rounds[-1].finding != Finding.NONE else rounds[-2])[1]


def _judged(standing: Finding, state: Seat, vote: bytes, opened: bytes, right: bytes) -> tuple[bool, bool]:
    """Whether a seat that revealed agrees with what stands, and whether what stands contradicts the digest it found."""
    digest = {Seat.CONFIRMS: opened, Seat.UNSERVED: opened, Seat.OTHER: vote}.get(state)
    if standing.side == "neither":
        return True, False
    if standing == Finding.CONFIRMED:
        return state == Seat.CONFIRMS or (state == Seat.OTHER and vote == opened), state == Seat.OTHER and vote != opened
    if standing == Finding.OTHER:
        return state == Seat.OTHER and vote == right, digest is not None and not (state == Seat.OTHER and vote == right)
    if standing == Finding.UNSERVED:
        return state in (Seat.UNSERVED, Seat.UNAVAILABLE), False
    return digest is not None or state == Seat.UNAVAILABLE, False


def facts_of(r: Round, provider: str, terms: PoolTerms) -> int:
    """What the chain keeps of a seating: the low 160 bits of its hash."""
    return number_of(keccak(word(32) + seating(r, provider, terms))) & (1 << 160) - 1


def seating(r: Round, provider: str, terms: PoolTerms) -> bytes:
    """The facts of a drawn round as its events said them and callers bring them back."""
    return words(provider, terms.reveal_window, terms.appeal_window, r.opened, 160, len(r.accounts), *r.accounts)
