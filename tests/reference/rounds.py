"""Rounds of a dispute: seats, what time does to a round, and what it comes to. Protocol section 6.2.

A round has 1, 3, 7 or 15 seats. What time does to it is computed whenever somebody calls; nobody has to write it down.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from enum import IntEnum

from tests.reference.terms import PoolTerms
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


def facts_of(r: Round, provider: str, terms: PoolTerms) -> int:
    """What the chain keeps of a seating: the low 160 bits of its hash."""
    return number_of(keccak(word(32) + seating(r, provider, terms))) & (1 << 160) - 1


def seating(r: Round, provider: str, terms: PoolTerms) -> bytes:
    """The facts of a drawn round as its events said them and callers bring them back."""
    return words(provider, terms.reveal_window, terms.appeal_window, r.opened, 160, len(r.accounts), *r.accounts)
