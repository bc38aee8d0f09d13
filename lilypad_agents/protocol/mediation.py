"""Panels: round words, votes, what time does to a round, the tally, and who gets what at the end. Protocol 6.2.

Twin of contracts/types/RoundWord.sol, Dispute.sol and contracts/mediation/. Pure: the mediator decides with it, and the
contract is tested against it to the last unit.

    word = RoundWord.unpack(answer)                            # of disputeStateOf
    now = word.at(time, seating, votes)                        # what time has made of it
    finding, digest = tally(now, votes)
    division = divide(dispute)                                 # every unit of an execution
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from lilypad_agents.protocol.abi_codec import encode
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, Bytes32, DealId, ResultDigest, keccak256
from lilypad_agents.protocol.lifecycle import DisputeKind, Verdict
from lilypad_agents.protocol.price import Priced, premium_of, value_of
from lilypad_agents.protocol.units import AUDIT_SEATS, PANEL_SEATS, WHOLE, Amount, Seconds, Timestamp

KEEPER_BPS = 200  # of a seat's fee, rounded down; the seat keeps the rest
DELIVERY = 4  # bit of a round number
LAST_SIZE = 3  # low bits of the last round: 15 seats
WORDS_MOST = 255  # votes up to here are no digests

_SEATING = "(address,uint32,uint32,bytes32,address[])"


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


class SeatState(IntEnum):
    """From CONFIRMS on the seat has revealed."""

    SILENT = 0
    COMMITTED = 1
    CONFIRMS = 2
    UNSERVED = 3
    OTHER_DIGEST = 4
    UNAVAILABLE = 5
    MODULE_BROKEN = 6
    CANNOT_RUN = 7


class Finding(IntEnum):
    NONE = 0
    CONFIRMED = 1
    OTHER_DIGEST = 2
    UNSERVED = 3
    NOT_OPENED = 4
    BROKEN = 5
    DIVIDED = 6
    ABSENT = 7


class Side(IntEnum):
    """Whom a finding is for."""

    PROVIDER = 0
    AGAINST = 1
    NEITHER = 2


VOTE_UNAVAILABLE = ResultDigest((1).to_bytes(32, "big"))
VOTE_MODULE_BROKEN = ResultDigest((2).to_bytes(32, "big"))
VOTE_CANNOT_RUN = ResultDigest((3).to_bytes(32, "big"))
VOTE_SERVED = ResultDigest((4).to_bytes(32, "big"))  # delivery only

_AUDITS = frozenset({DisputeKind.AUDIT, DisputeKind.AUDIT_EXPIRED})


def side_of(finding: Finding) -> Side:
    if finding == Finding.CONFIRMED:
        return Side.PROVIDER
    against = finding in (Finding.OTHER_DIGEST, Finding.UNSERVED, Finding.NOT_OPENED)
    return Side.AGAINST if against else Side.NEITHER


def first_round(kind: DisputeKind) -> int:
    """The number of the round that a dispute begins with."""
    if kind == DisputeKind.DELIVERY:
        return DELIVERY + 1
    return 0 if kind in _AUDITS else 1


def round_size(number: int) -> int:
    """Seats of a round: 1, 3, 7, 15."""
    return (2 << (number & 3)) - 1


def vote_commitment(deal_id: DealId, number: int, account: Address, vote: bytes, salt: bytes) -> Bytes32:
    """What a seat commits to: keccak256(abi.encode(dealId, round, account, vote, salt)). `salt`: 32 random bytes."""
    if len(vote) != 32 or len(salt) != 32:
        raise FieldInvalid("vote", "vote or salt", "must be 32 bytes")
    return keccak256(encode(["bytes32", "uint8", "address", "bytes32", "bytes32"], [deal_id, number, account, vote, salt]))


@dataclass(frozen=True)
class Seating:
    """Facts of a drawn round, which callers bring back. `opened`: the provider's digest or data id, zero until it opened."""

    provider: Address
    reveal_window: Seconds
    appeal_window: Seconds
    opened: Bytes32
    accounts: tuple[Address, ...]

    @classmethod
    def of(cls, answer: Sequence) -> Seating:
        """From the decoded tuple of SeatsDrawn."""
        provider, reveal, appeal, opened, accounts = answer
        return cls(provider, Seconds(reveal), Seconds(appeal), Bytes32(bytes(opened)), tuple(accounts))

    @property
    def argument(self) -> tuple:
        """As the contract takes it."""
        return (self.provider, self.reveal_window, self.appeal_window, self.opened, self.accounts)

    @property
    def facts(self) -> int:
        """What the chain keeps of it: the low 160 bits of its hash."""
        return int.from_bytes(keccak256(encode([_SEATING], [self.argument])), "big") & (1 << 160) - 1


@dataclass(frozen=True)
class RoundWord:
    """The word of a round. `facts`: the ticket while seats are queued for the first time, else the seating's hash."""

    phase: Phase
    number: int
    opened: bool
    redrawn: bool
    lone_unavailable: bool
    provider_late: bool
    deadline: Timestamp
    seats: tuple[SeatState, ...]
    facts: int

    @classmethod
    def unpack(cls, word: int) -> RoundWord | None:
        """None for zero: there is no round."""
        if word == 0:
            return None
        number = word >> 3 & 7
        seats = tuple(SeatState(word >> 50 + 3 * seat & 7) for seat in range(round_size(number)))
        flags = (bool(word >> bit & 1) for bit in (6, 7, 8, 9))
        deadline = Timestamp(word >> 10 & (1 << 40) - 1)
        return cls(Phase((word & 7) + 1), number, *flags, deadline, seats, word >> 96)

    @classmethod
    def unpack_past(cls, word: int) -> tuple[RoundWord, Finding] | None:
        """An earlier round, which has its finding where the phase was. Its phase reads EXECUTED. None for zero."""
        found = cls.unpack(word)
        return found and (replace(found, phase=Phase.EXECUTED), Finding(word & 7))

    @property
    def is_delivery(self) -> bool:
        return bool(self.number & DELIVERY)

    @property
    def silent(self) -> int:
        return self.seats.count(SeatState.SILENT)

    @property
    def has_seats(self) -> bool:
        return self.redrawn if self.phase == Phase.QUEUED else self.phase != Phase.EXECUTED

    @property
    def awaits_redraw(self) -> bool:
        """Of a word that is Due: whether seats that missed their commit are to be replaced."""
        return self.phase == Phase.DUE and not self.redrawn and self.silent > 0

    @property
    def is_tallied(self) -> bool:
        """Of a word of `at`."""
        due = self.phase == Phase.DUE and not self.awaits_redraw
        return due or self.phase in (Phase.APPEALABLE, Phase.EXECUTABLE)

    def at(self, time: int, seating: Seating, votes: Mapping[int, bytes]) -> RoundWord:
        """What time has made of it at `time` (unix seconds). `votes`: digests of the seats in OTHER_DIGEST, by seat."""
        word = self
        if not word.has_seats:
            return word
        if word.phase == Phase.COMMIT and time > word.deadline:
            if word.silent and not word.redrawn:
                return word._to(Phase.DUE, 0)
            if word.silent == len(word.seats):
                word = word._tallied(word.deadline, seating, votes)
            else:
                word = word._to(Phase.REVEAL if word.opened else Phase.OPEN, word.deadline + seating.reveal_window)
        if word.phase == Phase.OPEN and time > word.deadline:
            if word.is_delivery:
                word = word._tallied(word.deadline, seating, votes)
            else:
                word = word._to(Phase.REVEAL, word.deadline + seating.reveal_window)
        if word.phase == Phase.REVEAL and time > word.deadline:
            word = word._tallied(word.deadline, seating, votes)
        if word.phase == Phase.APPEALABLE and time > word.deadline:
            word = word._to(Phase.EXECUTABLE, 0)
        return word

    def _tallied(self, time: int, seating: Seating, votes: Mapping[int, bytes]) -> RoundWord:
        finding, _ = tally(self, votes)
        stands = finding == Finding.NOT_OPENED or (finding == Finding.CONFIRMED and not self.lone_unavailable)
        if self.number == 0 and not stands:
            return self._to(Phase.DUE, 0)
        return self._to(Phase.APPEALABLE, time + seating.appeal_window)

    def _to(self, phase: Phase, deadline: int) -> RoundWord:
        return replace(self, phase=phase, deadline=Timestamp(deadline))


def tally(word: RoundWord, votes: Mapping[int, bytes]) -> tuple[Finding, Bytes32]:
    """What a round came to by strict majority of all its seats, and the digest of OTHER_DIGEST (else zero)."""
    states = Counter(word.seats)
    seats = len(word.seats)

    def majority(count: int) -> bool:
        return 2 * count > seats

    asked = word.is_delivery or states[SeatState.SILENT] != seats
    if asked and not word.opened:
        return Finding.NOT_OPENED, ZERO
    if majority(states[SeatState.CONFIRMS]):
        return Finding.CONFIRMED, ZERO
    if majority(states[SeatState.UNSERVED] + states[SeatState.UNAVAILABLE]):
        return Finding.UNSERVED, ZERO
    if majority(states[SeatState.MODULE_BROKEN]):
        return Finding.BROKEN, ZERO
    digests = Counter(votes[seat] for seat, state in enumerate(word.seats) if state == SeatState.OTHER_DIGEST)
    for digest, count in digests.items():
        if majority(count):
            return Finding.OTHER_DIGEST, Bytes32(digest)
    ran = states[SeatState.CONFIRMS] + states[SeatState.UNSERVED] + states[SeatState.OTHER_DIGEST]
    return (Finding.DIVIDED if majority(ran) else Finding.ABSENT), ZERO


def verdict_of(kind: DisputeKind, standing: Finding) -> Verdict:
    """What the core is told. A delivery panel that says nothing has shown nothing against the provider."""
    side = side_of(standing)
    if kind == DisputeKind.DELIVERY:
        return Verdict.NOT_DELIVERED if side == Side.AGAINST else Verdict.DELIVERED
    return {Side.PROVIDER: Verdict.CORRECT, Side.AGAINST: Verdict.WRONG, Side.NEITHER: Verdict.NO_FAULT}[side]


# ---- money


@dataclass(frozen=True)
class RoundEnd:
    """A round at the end of its dispute. `word` as `RoundWord.at` gives it at that time (an earlier round: its own)."""

    word: RoundWord
    seating: Seating | None  # None: not drawn
    votes: Mapping[int, bytes]
    finding: Finding = Finding.NONE  # NONE: not tallied
    appellant: Address = NOBODY

    @property
    def tallied(self) -> bool:
        return self.finding != Finding.NONE

    @property
    def commits_over(self) -> bool:
        """Whether silent seats have missed their window."""
        voting = self.word.phase == Phase.REVEAL or (self.word.phase == Phase.OPEN and not self.word.is_delivery)
        return self.tallied or voting or self.word.awaits_redraw


@dataclass(frozen=True)
class DisputeEnd:
    """A dispute that is executed (or, `unwound`, whose deal ended otherwise) by `keeper`."""

    deal: Priced
    kind: DisputeKind
    provider: Address
    beginner: Address
    keeper: Address
    seat_stake: Amount
    rounds: tuple[RoundEnd, ...]
    replaced: Address = NOBODY  # the first lone seat, which did not run the job
    lost: Amount = Amount(0)  # by seats that were replaced, less what redraws cost
    unwound: bool = False

    @property
    def standing(self) -> Finding:
        """What is executed. A void appeal leaves what stood; a lone seat's word that called a panel does not stand."""
        if self.unwound or not self.rounds:
            return Finding.NONE
        last = self.rounds[-1]
        if last.tallied:
            return Finding.NONE if last.word.phase == Phase.DUE else last.finding
        return Finding.NONE if last.appellant == NOBODY else self.rounds[-2].finding


@dataclass(frozen=True)
class Division:
    """Smallest units. `payments` in the order of MoneyDivided, `losses` one a seat that ended now."""

    verdict: Verdict
    claim: Amount
    payments: tuple[tuple[Address, Amount], ...]
    losses: tuple[tuple[Address, Amount], ...]
    to_fund: Amount
    lost: Amount

    @property
    def total(self) -> Amount:
        return Amount(sum(amount for _, amount in self.payments) + self.to_fund)


def seat_fee_parts(fee: Amount) -> tuple[Amount, Amount]:
    """Out of a seat's fee: what the seat gets, and what keepers get."""
    keepers = fee * KEEPER_BPS // WHOLE
    return Amount(fee - keepers), Amount(keepers)


def drawer_part(fee: Amount, seats: int) -> Amount:
    """What drawing `seats` seats earns: a third of the keepers' part. A redraw: at most what the replaced seats lost."""
    return Amount(seats * seat_fee_parts(fee)[1] // 3)


def claim_most(deal: Priced, kind: DisputeKind) -> Amount:
    """The most that the core lets a strategy claim on Wrong and NotDelivered. Protocol 6.1."""
    paid = AUDIT_SEATS * deal.seat_fee if kind == DisputeKind.AUDIT_EXPIRED else 0
    value = value_of(deal.price, deal.unit_price, deal.max_units)
    return Amount(deal.collateral - premium_of(deal) - value - paid)


def outcome(standing: Finding, state: SeatState, vote: bytes, opened: bytes, right: bytes) -> tuple[bool, bool]:
    """Whether a seat is paid, and whether it loses its stake. `vote`: of a seat in OTHER_DIGEST, `opened`: the provider's
    digest, `right`: the digest of a finding OTHER_DIGEST."""
    if state < SeatState.CONFIRMS:
        return False, False
    if side_of(standing) == Side.NEITHER:
        return True, False
    own, other = state in (SeatState.CONFIRMS, SeatState.UNSERVED), state == SeatState.OTHER_DIGEST
    if standing == Finding.CONFIRMED:
        return state == SeatState.CONFIRMS or (other and vote == opened), other and vote != opened
    if standing == Finding.OTHER_DIGEST:
        return other and vote == right, own or (other and vote != right)
    if standing == Finding.UNSERVED:
        return state in (SeatState.UNSERVED, SeatState.UNAVAILABLE), False
    return own or other or state == SeatState.UNAVAILABLE, False


class _Pot:
    """Money that is given away as far as it reaches."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def give(self, owed: int) -> int:
        given = min(owed, self.amount)
        self.amount -= given
        return given


def divide(end: DisputeEnd) -> Division:
    """Every unit of a dispute. Protocol 6.2: seats, the first lone seat, appellants, who began, keepers; the fund the rest."""
    standing = end.standing
    side = side_of(standing)
    fee = end.deal.seat_floor if end.kind == DisputeKind.DELIVERY else end.deal.seat_fee
    seat_part, keeper_part = seat_fee_parts(fee)
    begun = fee * (AUDIT_SEATS if end.kind in _AUDITS else PANEL_SEATS)
    payments: list[tuple[Address, int]] = []
    losses: list[tuple[Address, int]] = []
    used = keepers = unearned = 0
    back: list[int] = []
    for round_ in end.rounds:
        paid, lost = _seats(end, round_)
        payments += [(account, seat_part) for account in paid]
        losses += lost
        fees = round_size(round_.word.number) * fee
        drawer = drawer_part(fee, round_size(round_.word.number)) if round_.seating else 0
        spent = drawer
        if round_.tallied:
            shares = round_size(round_.word.number) * keeper_part
            keepers += shares - drawer
            spent = shares + len(paid) * seat_part
            if side != Side.NEITHER:
                unearned += fees - spent
                spent = fees
        if round_.appellant == NOBODY:
            used += spent
        back.append(fees - spent)
    lost_now = end.lost + sum(amount for _, amount in losses)
    unused = begun - used

    replaced_owed = 0
    if end.replaced != NOBODY:
        said = SeatState.UNAVAILABLE if end.rounds[0].word.lone_unavailable else SeatState.CANNOT_RUN
        replaced_owed = seat_part if outcome(standing, said, ZERO, ZERO, ZERO)[0] else 0
    challenger_owed = begun if side == Side.AGAINST and end.kind not in _AUDITS else 0
    owed_to_appellants = [
        fee * round_size(end.rounds[i].word.number) - back[i] if _brought(end, i) else 0 for i in range(len(end.rounds))
    ]
    claim = 0
    if side == Side.PROVIDER and end.kind == DisputeKind.AUDIT and end.rounds[-1].word.provider_late:
        claim = PANEL_SEATS * fee
    if side == Side.AGAINST:
        missing = replaced_owed + challenger_owed + sum(owed_to_appellants) - unearned - lost_now - unused
        claim = min(max(missing, 0), claim_most(end.deal, end.kind))

    to_fund = 0
    pot = _Pot(lost_now + unearned + claim)
    if side == Side.NEITHER:
        replaced_owed = min(replaced_owed, unused)
        unused -= replaced_owed
        payments.append((end.replaced, replaced_owed))
    if end.kind == DisputeKind.AUDIT_EXPIRED and side != Side.AGAINST:
        payments.append((end.provider, unused))
    elif side == Side.NEITHER and end.kind != DisputeKind.AUDIT:
        payments.append((end.beginner, unused))
    elif side == Side.NEITHER:
        to_fund = unused
    else:
        pot.amount += unused
    if side != Side.NEITHER:
        payments.append((end.replaced, pot.give(replaced_owed)))
    for i, round_ in enumerate(end.rounds):
        if round_.appellant != NOBODY:
            payments.append((round_.appellant, back[i]))
            payments.append((round_.appellant, pot.give(owed_to_appellants[i])))
    payments.append((end.beginner, pot.give(challenger_owed)))
    if end.kind in _AUDITS and end.rounds and end.rounds[0].tallied:
        part = keeper_part // 3
        keepers -= part
        payments.append((end.beginner, part))
    payments.append((end.keeper, keepers))
    given = tuple((account, Amount(amount)) for account, amount in payments if amount)
    return Division(
        verdict_of(end.kind, standing), Amount(claim), given,
        tuple((account, Amount(amount)) for account, amount in losses), Amount(to_fund + pot.amount), Amount(lost_now),
    )  # fmt: skip


def _seats(end: DisputeEnd, round_: RoundEnd) -> tuple[list[Address], list[tuple[Address, int]]]:
    """The accounts of a round's paid seats, and what each seat that ends now loses."""
    paid: list[Address] = []
    losses: list[tuple[Address, int]] = []
    if round_.seating is None:
        return paid, losses
    word, standing = round_.word, end.standing
    opened, right = _opened(end), _right(end)
    asked = word.opened or not word.is_delivery
    for seat, state in enumerate(word.seats):
        account = round_.seating.accounts[seat]
        if word.phase == Phase.QUEUED and state == SeatState.SILENT:
            continue  # was released when its successor was asked for
        if not round_.tallied:
            absent = state == SeatState.SILENT and round_.commits_over
            losses.append((account, end.seat_stake // 4 if absent else 0))
        elif state < SeatState.CONFIRMS:
            losses.append((account, end.seat_stake // 4 if asked else 0))
        else:
            coherent, contradicted = outcome(standing, state, round_.votes.get(seat, ZERO), opened, right)
            losses.append((account, end.seat_stake if contradicted else 0))
            paid += [account] if coherent else []
    return paid, losses


def _opened(end: DisputeEnd) -> bytes:
    drawn = [round_.seating for round_ in end.rounds if round_.seating]
    return drawn[-1].opened if drawn and end.kind != DisputeKind.DELIVERY else ZERO


def _right(end: DisputeEnd) -> bytes:
    if end.standing != Finding.OTHER_DIGEST:
        return ZERO
    last = end.rounds[-1] if end.rounds[-1].tallied else end.rounds[-2]
    return tally(last.word, last.votes)[1]


def _brought(end: DisputeEnd, index: int) -> bool:
    """Whether the appeal for a round brought the verdict that stands: it says so, and the round before did not."""
    round_ = end.rounds[index]
    if round_.appellant == NOBODY or not round_.tallied:
        return False
    side = side_of(end.standing)
    return side_of(round_.finding) == side != side_of(end.rounds[index - 1].finding)
