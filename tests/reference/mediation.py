"""Disputes before the default strategy: who asks for seats, votes, opens, appeals and executes. Protocol section 6.2.

`rounds` says what time does to a round, `division` who gets what.
"""

from __future__ import annotations

from collections import Counter
from copy import copy

from lilypad_agents.protocol.lifecycle import DisputeKind, Status, Verdict
from tests.reference.deals import Deal, Deals
from tests.reference.division import Division, Ended, divide, fee_of, is_audit, keepers_part, standing_of
from tests.reference.ledger import RESULTS, Refused, require
from tests.reference.rounds import (
    CANNOT_RUN,
    LAST_WORD,
    MODULE_BROKEN,
    SERVED,
    SIZES,
    UNAVAILABLE,
    Dispute,
    Finding,
    Phase,
    Round,
    Seat,
    at,
    tallied,
    tally,
)
from tests.reference.staking import POSTPONED, PoolModel
from tests.reference.terms import Opening, PoolTerms
from tests.reference.words import NOBODY, ZERO, keccak, number_of, words


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
        amount = seats * keepers_part(deal) // 3
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
        fee, token, ledger = SIZES[r.size + 1] * fee_of(deal), deal.record.token, self.deals.ledger
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
        standing = standing_of(rounds)
        verdict = self._verdict(deal, standing)
        division = divide(self._ended(deal, dispute, rounds, standing, who))
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
        division = divide(self._ended(deal, dispute, rounds, Finding.NONE, who))
        self._close(deal, dispute, rounds, division.losses)
        self._pay(deal, division)

    def _rounds_at(self, dispute: Dispute | None, time: int, terms: PoolTerms) -> list[Round]:
        if dispute is None:
            return []
        rounds = [*dispute.rounds[:-1], copy(at(dispute.last, time, terms))]
        if rounds[-1].is_drawn and rounds[-1].is_tallied:
            rounds[-1].finding, _ = tally(rounds[-1])
        return rounds

    def _ended(self, deal: Deal, dispute: Dispute | None, rounds: list[Round], standing: Finding, keeper: str) -> Ended:
        against = Verdict.NOT_DELIVERED if deal.kind == DisputeKind.DELIVERY else Verdict.WRONG
        most = self.deals.most_claim(deal, against) if standing.side == "against" else 0
        lone, lost = (dispute.lone, dispute.lost) if dispute else (NOBODY, 0)
        return Ended(deal, self._pool(deal)[0], rounds, standing, keeper, lone, lost, most)

    def _verdict(self, deal: Deal, standing: Finding) -> Verdict:
        if deal.kind == DisputeKind.DELIVERY:  # a panel that says nothing has shown nothing against the provider
            return Verdict.NOT_DELIVERED if standing.side == "against" else Verdict.DELIVERED
        return {"provider": Verdict.CORRECT, "against": Verdict.WRONG, "neither": Verdict.NO_FAULT}[standing.side]

    def _close(self, deal: Deal, dispute: Dispute | None, rounds: list[Round], losses: list[tuple[str, int]]) -> None:
        pool = self._pool(deal)[1]
        if dispute is None:
            dispute = self.disputes[deal.record.id] = Dispute([Round(0 if is_audit(deal) else 1, deal.kind == DisputeKind.DELIVERY)])
        elif rounds[-1].phase == Phase.QUEUED:
            pool.cancel(dispute.redraw_ticket if rounds[-1].redrawn else rounds[-1].ticket)
        if losses:
            self._release(deal, losses)
        dispute.over, dispute.lone, dispute.lost, dispute.redraw_ticket = True, NOBODY, 0, 0

    def _pay(self, deal: Deal, division: Division) -> None:
        self.deals.ledger.move(deal.record.token, self.address, division.credits.items())
        self.deals.ledger.donate(deal.accrual.fund, self.address, division.to_fund)
