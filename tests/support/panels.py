"""Disputes before the panel strategy: the world with pools and mediation, mediators with stakes, and a court that runs rounds.

    court = build_court()                                  # a world of its own
    case = court.challenged(units=3)                       # a deal whose result was challenged
    case.seat()                                            # queues and draws the first round
    case.vote(RIGHT, RIGHT, WRONG)                         # commits, opens, reveals: one vote a seat
    receipt, division = case.execute()                     # compares every unit with the twin
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import result_digest
from lilypad_agents.protocol.ids import NOBODY, ZERO, DealId, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.mediation import (
    VOTE_CANNOT_RUN,
    VOTE_MODULE_BROKEN,
    VOTE_SERVED,
    VOTE_UNAVAILABLE,
    DisputeEnd,
    Division,
    Finding,
    Phase,
    RoundEnd,
    RoundWord,
    Seating,
    SeatState,
    divide,
    tally,
    vote_commitment,
)
from lilypad_agents.protocol.opening import ResultOpening
from lilypad_agents.protocol.terms import PoolTerms
from tests.support.evm import Account, Contract, Evm, Receipt
from tests.support.world import COIN, PERIOD_BLOCKS, START_FUND, World, build_world

LAST_CALL = 60
UNBONDING = 700
SEAT_STAKE = 1_000 * COIN
MEDIATORS = 5
SEATS_EACH = 20
DATA_ID = keccak256(b"data id")

# Votes of a test. Digests: the provider's, and others; a str names some other digest.
RIGHT, UNSERVED = "right", "right, data not served"
WRONG, WRONG2, WRONG3 = "wrong", "wrong 2", "wrong 3"
UNAVAILABLE, BROKEN, CANNOT_RUN, SERVED = "unavailable", "broken", "cannot run", "served"
NEVER = "never commits"
SECRET = "commits, never reveals"
_WORDS = {
    UNAVAILABLE: VOTE_UNAVAILABLE, BROKEN: VOTE_MODULE_BROKEN, CANNOT_RUN: VOTE_CANNOT_RUN, SERVED: VOTE_SERVED,
}  # fmt: skip


@dataclass
class Court:
    """`mediators` have SEATS_EACH seat stakes each."""

    world: World
    staking: Contract
    mediation: Contract
    mediators: tuple[Account, ...]
    seeds: int = 0

    @property
    def evm(self) -> Evm:
        return self.world.evm

    @property
    def pool(self) -> PoolTerms:
        return self.world.pool

    # ---- people

    def stake(self, account: Account, seats: int = 1, pool: PoolTerms | None = None) -> None:
        pool = pool or self.pool
        amount = seats * pool.seat_stake
        self.world.token.mint(account, amount)
        self.world.token.approve(self.staking, amount, sender=account)
        self.staking.stake(pool, amount, [], sender=account)

    def account_of(self, address: str) -> Account:
        return next(person for person in (*self.mediators, *self.people) if person.address == address)

    @property
    def people(self) -> tuple[Account, ...]:
        w = self.world
        return (w.creator, w.provider, w.solver, w.publisher, w.challenger, w.keeper)

    def rich(self, name: str, amount: int = 10_000 * COIN) -> Account:
        """An account with tokens that it allows the mediation contract to take."""
        account = self.evm.account(name)
        self.world.token.mint(account, amount)
        self.world.token.approve(self.mediation, amount, sender=account)
        return account

    def next_seed(self) -> None:
        """Goes to the next period, whose seed is known at once. One second a block."""
        period = self.evm.number // PERIOD_BLOCKS + 1
        self.evm.mine(period * PERIOD_BLOCKS - self.evm.number)
        self.seeds += 1
        self.world.randomness.setSeed(period, keccak256(b"seed" + self.seeds.to_bytes(4, "big")))

    # ---- disputes

    def submitted(self, units: int = 3, **options: Any) -> Case:
        deal, deal_id = self.world.open(**options)
        return Case(self, deal, deal_id, self.world.submit(deal, units))

    def challenged(self, units: int = 3, by: Account | None = None, **options: Any) -> Case:
        case = self.submitted(units, **options)
        case.beginner = by or self.world.challenger
        self.world.resolver.challenge(case.deal.words, sender=case.beginner)
        return case

    def audited(self, units: int = 3, *, lost_seed: bool = False, advance: int = 0, **options: Any) -> Case:
        case = self.submitted(units, **options)
        if lost_seed:
            self.world.lose_seed(case.deal)
        else:
            self.world.set_seed(case.deal, drawn=True)
        case.beginner = self.world.challenger if advance else self.world.keeper
        self.world.resolver.audit(case.deal.words, advance, sender=case.beginner)
        return case

    def delivery_challenged(self, units: int = 3, **options: Any) -> Case:
        case = self.submitted(units, **options)
        case.challenge_delivery()
        return case

    def credit(self) -> int:
        """What the mediation contract holds in the ledger."""
        return self.world.free(self.mediation)


@dataclass
class Case:
    """One dispute. `seatings` are those of all drawn rounds, as the events said."""

    court: Court
    deal: Deal
    deal_id: DealId
    result: ResultOpening
    beginner: Any = None
    seatings: list[Seating] = field(default_factory=list)
    salts: int = 0

    # ---- what there is

    @property
    def world(self) -> World:
        return self.court.world

    @property
    def evm(self) -> Evm:
        return self.world.evm

    @property
    def mediation(self) -> Contract:
        return self.court.mediation

    @property
    def digest(self) -> bytes:
        return result_digest(self.result.head, self.result.content)

    @property
    def kind(self) -> DisputeKind:
        return self.world.state(self.deal).kind

    @property
    def word(self) -> RoundWord | None:
        return RoundWord.unpack(self.mediation.disputeStateOf(self.deal_id)[0])

    @property
    def seating(self) -> Seating:
        return self.seatings[-1]

    def votes(self, number: int) -> dict[int, bytes]:
        """Digests of the seats in OTHER_DIGEST (whatever is kept of the others)."""
        return {seat: self.mediation.commitmentOf(self.deal_id, number, seat) for seat in range(15)}

    def now(self) -> tuple[Phase, int, Finding]:
        """Phase, deadline and finding at this second, by contract and twin."""
        word = self.word
        if word is None or not word.has_seats:
            return (word.phase, word.deadline, Finding.NONE) if word else (Phase.NONE, 0, Finding.NONE)
        phase, deadline, finding = self.mediation.phaseOf(self.deal_id, self.seating.argument)
        votes = self.votes(word.number)
        twin = word.at(self.evm.timestamp, self.seating, votes)
        found = tally(twin, votes)[0] if twin.is_tallied else Finding.NONE
        assert (twin.phase, twin.deadline, found) == (phase, deadline, finding)
        return Phase(phase), deadline, Finding(finding)

    @property
    def phase(self) -> Phase:
        return self.now()[0]

    # ---- steps

    def challenge_delivery(self) -> None:
        self.beginner = self.world.creator
        self.world.resolver.challengeDelivery(self.deal.words, sender=self.world.creator)

    def _given(self) -> tuple:
        return self.seatings[-1].argument if self.seatings else NO_SEATING

    def queue(self, sender: Any = None, exact: bool = False) -> Receipt:
        return self.mediation.queue(
            self.deal.words, self.court.pool, self._given(), sender=sender or self.world.keeper, exact=exact
        )

    def draw(self, sender: Any = None, exact: bool = False) -> Receipt:
        """Draws, with a seed of its own, and notes the seating."""
        again = bool(self.word and self.word.redrawn)
        receipt = self.mediation.draw(
            self.deal.words, self.court.pool, self._given(), sender=sender or self.world.keeper, exact=exact
        )
        for event in receipt.events("SeatsDrawn"):
            if again:
                self.seatings.pop()
            self.seatings.append(Seating.of(tuple(event["seating"].values()) if isinstance(event["seating"], dict) else event["seating"]))
            assert self.seating.facts == self.word.facts
        return receipt

    def seat(self) -> Case:
        """Queues (unless an appeal did) and draws."""
        if self.word is None or self.word.phase != Phase.QUEUED:
            self.queue()
        self.court.next_seed()
        self.draw()
        return self

    def mediator(self, seat: int) -> Account:
        return self.court.account_of(self.seating.accounts[seat])

    def vote_of(self, choice: str) -> bytes:
        if choice in (RIGHT, UNSERVED):
            return self.digest
        return _WORDS.get(choice) or keccak256(choice.encode())

    def salt(self, seat: int) -> bytes:
        return keccak256(b"salt" + bytes([self.word.number, seat]))

    def commit(self, seat: int, choice: str, sender: Any = None, exact: bool = False) -> Receipt:
        account = self.seating.accounts[seat]
        commitment = vote_commitment(self.deal_id, self.word.number, account, self.vote_of(choice), self.salt(seat))
        return self.mediation.commit(
            self.deal_id, self.seating.argument, seat, commitment, sender=sender or self.mediator(seat), exact=exact
        )

    def open(self, sender: Any = None, exact: bool = False) -> Receipt:
        receipt = self.mediation.open(
            self.deal_id, self.seating.argument, self.result, DATA_ID, sender=sender or self.world.provider, exact=exact
        )
        self.seatings[-1] = replace(self.seating, opened=receipt.event("ResultOpened")["digest"])
        return receipt

    def name_data(self, sender: Any = None) -> Receipt:
        receipt = self.mediation.nameData(
            self.deal_id, self.seating.argument, DATA_ID, sender=sender or self.world.provider
        )
        self.seatings[-1] = replace(self.seating, opened=DATA_ID)
        return receipt

    def reveal(self, seat: int, choice: str, sender: Any = None, exact: bool = False, salt: bytes | None = None) -> Receipt:
        return self.mediation.reveal(
            self.deal_id, self.seating.argument, seat, self.vote_of(choice), salt or self.salt(seat), choice != UNSERVED,
            sender=sender or self.mediator(seat), exact=exact,
        )  # fmt: skip

    def commit_all(self, *choices: str) -> None:
        """Commits of the silent seats; those that never do let the window pass."""
        for seat, choice in enumerate(choices):
            if choice != NEVER and self.word.seats[seat] == SeatState.SILENT:
                self.commit(seat, choice)
        if self.word.phase == Phase.COMMIT:
            self.pass_deadline()

    def reveal_all(self, *choices: str) -> None:
        for seat, choice in enumerate(choices):
            if choice not in (NEVER, SECRET):
                self.reveal(seat, choice)
        if self.phase == Phase.REVEAL:
            self.pass_deadline()

    def vote(self, *choices: str, opens: bool = True) -> Case:
        """A whole round, without redraws of seats that are replaced before: those that never commit stay empty."""
        if self.phase == Phase.OPEN:  # about delivery
            if not opens:
                self.pass_deadline()
                return self
            self.name_data()
        self.commit_all(*choices)
        if self.phase == Phase.DUE and self.word.phase == Phase.COMMIT:
            self.seat()
            self.commit_all(*choices)
        if self.phase == Phase.OPEN:
            self.open() if opens else self.pass_deadline()
        if self.phase == Phase.REVEAL:
            self.reveal_all(*choices)
        return self

    def pass_deadline(self) -> None:
        """One second after the deadline of the phase."""
        _, deadline, _ = self.now()
        assert deadline, self.now()
        self.world.pass_to(deadline + 1)

    def pass_last_call(self) -> None:
        self.world.pass_to(self.world.state(self.deal).deadline - LAST_CALL + 1)

    def pass_mediation(self) -> None:
        self.world.pass_to(self.world.state(self.deal).deadline + 1)

    def appeal(self, by: Account) -> Receipt:
        return self.mediation.appeal(self.deal.words, self.court.pool, self._given(), sender=by)

    def to_execution(self) -> Case:
        if self.phase == Phase.APPEALABLE:
            self.pass_deadline()
        return self

    # ---- ends

    def end(self, unwound: bool = False) -> DisputeEnd:
        """What the twin divides, read from the contract."""
        word, kind = self.word, self.kind
        if word is not None and word.phase == Phase.EXECUTED:
            word = None  # of a delivery challenge before
        state = self.world.state(self.deal)
        time = state.deadline if unwound else self.evm.timestamp
        rounds = []
        if word is not None:
            first = word.number - len(self.seatings) + (1 if word.has_seats else 0)
            for number in range(first, word.number):
                past, finding = RoundWord.unpack_past(self.mediation.pastRoundOf(self.deal_id, number))
                rounds.append(RoundEnd(
                    past, self.seatings[number - first], self.votes(number), finding, self._appellant(number)
                ))  # fmt: skip
            votes = self.votes(word.number)
            seating = self.seatings[-1] if word.has_seats else None
            word = word.at(time, seating, votes) if seating else word
            finding = tally(word, votes)[0] if seating and word.is_tallied else Finding.NONE
            rounds.append(RoundEnd(word, seating, votes, finding, self._appellant(word.number)))
        _, replaced, _ = self.mediation.disputeStateOf(self.deal_id)
        address = f"0x{replaced & (1 << 160) - 1:040x}"
        return DisputeEnd(
            self.deal, kind, self.world.provider.address, self.beginner.address, self.world.keeper.address,
            self.court.pool.seat_stake, tuple(rounds), NOBODY if int(address, 16) == 0 else self._checksummed(address),
            replaced >> 160, unwound,
        )  # fmt: skip

    def _appellant(self, number: int) -> str:
        return self.mediation.appellantOf(self.deal_id, number)

    def _checksummed(self, address: str) -> str:
        return next(account.address for account in self.court.mediators if account.address.lower() == address)

    def execute(self, *, exact: bool = False) -> tuple[Receipt, Division]:
        """Executes by the keeper and compares every unit with the twin. Leaves nothing of this dispute's money behind."""
        self.to_execution()
        end = self.end()
        opening = self.result
        before = self.court.credit()
        receipt = self.mediation.execute(
            self.deal.words, self.court.pool, [seating.argument for seating in self.seatings], opening,
            sender=self.world.keeper, exact=exact,
        )  # fmt: skip
        division = self._check(end, receipt, before)
        assert receipt.event("DisputeExecuted")["verdict"] == division.verdict
        return receipt, division

    def unwind(self) -> tuple[Receipt, Division]:
        end = self.end(unwound=True)
        before = self.court.credit()
        receipt = self.mediation.unwind(
            self.deal.words, self.court.pool, [seating.argument for seating in self.seatings], sender=self.world.keeper
        )
        return receipt, self._check(end, receipt, before)

    def _check(self, end: DisputeEnd, receipt: Receipt, before: int) -> Division:
        division = divide(end)
        event = receipt.event("MoneyDivided")
        paid = tuple(zip(event["accounts"], event["amounts"], strict=True))
        assert paid == division.payments
        assert (event["toFund"], event["lost"], event["claim"]) == (division.to_fund, division.lost, division.claim)
        released = [(e["account"], e["loss"]) for e in receipt.events("SeatReleased")]
        assert tuple(released) == division.losses
        # Nothing of it is left: what came in for this dispute went out. Other disputes' money did not move.
        lost_now = sum(loss for _, loss in division.losses)
        assert before + lost_now + division.claim - self.court.credit() == division.total
        return division

    @property
    def status(self) -> Status:
        return self.world.state(self.deal).status


NO_SEATING = (NOBODY, 0, 0, ZERO, ())


def build_court(mediators: int = MEDIATORS, seats_each: int = SEATS_EACH, evm: Evm | None = None, **parameters: Any) -> Court:
    """A world whose pool is judged by the panel strategy, with mediators who staked."""
    world = build_world(evm, **parameters)
    staking = world.evm.deploy("LilypadStaking", world.core, UNBONDING)
    mediation = world.evm.deploy("LilypadMediation", world.core, staking, LAST_CALL)
    world.strategy = mediation
    world.pool = replace(world.pool, strategy=mediation.address, seat_stake=SEAT_STAKE)
    world.deposit(world.keeper, START_FUND)
    world.core.donate(mediation, world.token, PoolId(world.pool.id), START_FUND, sender=world.keeper)
    people = tuple(world.evm.account(f"mediator {number}") for number in range(mediators))
    court = Court(world, staking, mediation, people)
    for person in people:
        court.stake(person, seats_each)
    return court

