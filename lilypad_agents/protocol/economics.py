"""What everybody can expect to earn, for terms and a share of hostile stake. Exact: fractions of the deal's value.

    terms = Terms.of(preset("standard"))
    capture_chance(Fraction(1, 4), 3)                  # that hostile seats are the majority of three
    skipping(terms, Fraction(1, 5))                    # a provider that does not work, with a fifth of the stake
    breaks_even(lambda share: skipping(terms, share))  # from which share on it pays

The model is that of the adversary gym (docs/gym.md), which plays the same on the contracts: a run costs 80 % of the value
(SAVING), hostile seats act as one and vote like honest ones where they are no majority, seats are drawn with replacement,
the seat stake is the least that the core accepts. Not modelled: gas, several deals at once, the value of a reputation.
Sources: docs/protocol.md sections 6.2, 6.5 to 6.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb

from lilypad_agents.protocol.deterrence import SAVING_BPS, Preset
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.mediation import KEEPER_BPS
from lilypad_agents.protocol.units import (
    AUDIT_SEATS,
    CHALLENGER_BOUNTY_BPS,
    PANEL_SEATS,
    PREMIUM_TENTHS,
    SEAT_FEE_BPS,
    SEAT_STAKE_TENTHS,
    WHOLE,
    Bps,
)

ROUND_SIZES = (1, 3, 7, 15)
RUN = Fraction(SAVING_BPS, WHOLE)  # what a run costs whoever makes it
SEAT_FEE = Fraction(SEAT_FEE_BPS, WHOLE)
SEAT_STAKE = SEAT_FEE * SEAT_STAKE_TENTHS / 10
KEEPER_PART = SEAT_FEE * KEEPER_BPS / WHOLE  # of a seat's fee, for keepers
SEAT_PAY = SEAT_FEE - KEEPER_PART
PROTOCOL_FEE = Fraction(100, WHOLE)
_STEP = Fraction(1, 1_000)  # of shares, in `breaks_even`


@dataclass(frozen=True)
class Terms:
    """Of a deal at its pool's maximum value. Rates and amounts as fractions, of one and of the value."""

    audit: Fraction
    collateral: Fraction

    @classmethod
    def of(cls, preset: Preset) -> Terms:
        return cls.of_bps(preset.audit_bps, preset.collateral_bps)

    @classmethod
    def of_bps(cls, audit_bps: Bps, collateral_bps: Bps) -> Terms:
        return cls(Fraction(audit_bps, WHOLE), Fraction(collateral_bps, WHOLE))

    @property
    def premium(self) -> Fraction:
        return self.audit * SEAT_FEE * PREMIUM_TENTHS / 10


def hostile_seats(share: Fraction, seats: int) -> Iterator[tuple[int, Fraction]]:
    """How many of `seats` are hostile, with the chance of each number. Raises FieldInvalid for a share outside 0 to 1."""
    if not 0 <= share <= 1:
        raise FieldInvalid("economics", "share", "must lie between 0 and 1")
    for count in range(seats + 1):
        yield count, comb(seats, count) * share**count * (1 - share) ** (seats - count)


def capture_chance(share: Fraction, seats: int) -> Fraction:
    """That hostile seats are the strict majority of a round of `seats`."""
    return sum((chance for count, chance in hostile_seats(share, seats) if 2 * count > seats), Fraction(0))


def escape_chance(share: Fraction, *, appeals: bool = True) -> Fraction:
    """That a provider caught by the lottery with a wrong result gets away with it.

    `appeals`: an honest seat that a panel contradicts pays for the next sizes, up to 15. Serving inputs to hostile lone seats only
    does not help: the panel sits, whatever the second lone seat says. Nobody knows that a lone seat confirmed a cheat.
    """
    panel = capture_chance(share, 3)
    if appeals:
        panel *= capture_chance(share, 7) * capture_chance(share, 15)
    return 1 - (1 - share) * (1 - panel)


# ---- what people can expect, of the value, for each deal


def working(terms: Terms, share: Fraction = Fraction(0)) -> Fraction:
    """An honest provider, and what its friends' seats (with `share` of the stake) earn by auditing it."""
    return 1 - RUN + terms.audit * share * (SEAT_PAY - RUN)


def skipping(terms: Terms, share: Fraction, *, appeals: bool = True, starves: bool = False) -> Fraction:
    """A provider that does not work, with its seats, over `working`. `starves`: it serves inputs to hostile lone seats only."""
    last = 3 if appeals else 1
    caught = _starved(terms, share, last) if starves else _round(share, 1, 0, last, Fraction(1), -terms.collateral)
    drawn = share * (1 + SEAT_PAY) + (1 - share) * caught
    return terms.audit * drawn + (1 - terms.audit) - working(terms, share)


def _starved(terms: Terms, share: Fraction, last: int) -> Fraction:
    """From the second lone seat on, after an honest one that was not served; the panel sits in any case. An honest second one is
    not served either, and then the provider pays the panel that confirms it. A hostile one finds the truth or says that it cannot
    run the job, whichever is worth more to its side."""
    won, lost = Fraction(1), -terms.collateral
    late = _round(share, 1, 0, last, won - PANEL_SEATS * SEAT_FEE, lost)
    ran = _round(share, 1, 0, last, won - SEAT_STAKE - RUN, lost + SEAT_PAY - RUN, ran=True)
    return (1 - share) * late + share * max(ran, _round(share, 1, 0, last, won, lost))


def _round(
    share: Fraction, index: int, before: int, last: int, won: Fraction, lost: Fraction, *, ran: bool = False
) -> Fraction:
    """Hostile seats in rounds from ROUND_SIZES[index] on, who know their number before they vote: they agree with what is
    right, or, where they are the majority, stand against it if that is worth more. `before`: of earlier rounds, who stood
    against it; `won`, `lost`: what the dispute brings their side; `last`: the round that nobody appeals against any more; `ran`: they know what is
    right."""
    total = Fraction(0)
    for seats, chance in hostile_seats(share, ROUND_SIZES[index]):
        agreed = lost + seats * SEAT_PAY - (RUN if seats and not ran else 0) - before * SEAT_STAKE
        if 2 * seats < ROUND_SIZES[index]:
            total += chance * agreed
        elif index == last:
            total += chance * max(agreed, won + (before + seats) * SEAT_PAY)
        else:
            total += chance * max(agreed, _round(share, index + 1, before + seats, last, won, lost, ran=ran))
    return total


def self_dealing(terms: Terms, share: Fraction, *, flaky: bool = False) -> Fraction:
    """All parties, keepers and `share` of the seats in one hand, of a job that costs nothing to run. `flaky`: its runs differ,
    so that each audit seats four and ends without fault."""
    seats = AUDIT_SEATS if flaky else 1
    fees = PROTOCOL_FEE * (1 - terms.audit if flaky else 1)
    return terms.audit * seats * (share * SEAT_PAY + KEEPER_PART) - terms.premium - fees


def accusing(terms: Terms, share: Fraction, *, appeals: bool = True) -> Fraction:
    """A creator that challenges a right result before the lottery, with its seats, over paying for it."""
    price = 1 + PROTOCOL_FEE + terms.premium
    bounty = terms.collateral * CHALLENGER_BOUNTY_BPS / WHOLE
    return _round(share, 1, 0, 3 if appeals else 1, price + 1 + bounty, -PANEL_SEATS * SEAT_FEE)


def crying(terms: Terms, share: Fraction) -> Fraction:
    """Seats that call the module broken whenever they sit alone, and on panels where they are the majority, over honest
    seats. The word is not punished, and nobody appeals: an honest provider has less to win than an appeal costs. But another
    lone seat is asked first, and an honest one confirms."""
    drawn = Fraction(0)
    for three, chance in hostile_seats(share, 3):
        honest = three * SEAT_PAY - (RUN if three else 0)
        drawn += chance * ((three + 1) * SEAT_PAY if 2 * three > 3 else honest)
    return terms.audit * share * (share * drawn - (SEAT_PAY - RUN))


def copying(false_rate: Fraction) -> Fraction:
    """One lazy seat among honest ones, over one that runs the job, for each time that it sits alone. `false_rate`: of results.

    Alone it saves a run, and nobody learns that it confirmed a wrong result. On the panel of three that an honest lone seat
    calls for a wrong result it loses its stake instead of being paid.
    """
    return RUN - false_rate * PANEL_SEATS * (SEAT_STAKE + SEAT_PAY - RUN)


def lazy_limit() -> Fraction:
    """The share of wrong results from which on lazy seats lose by `copying`."""
    return RUN / (PANEL_SEATS * (SEAT_STAKE + SEAT_PAY - RUN))


@dataclass(frozen=True)
class Actor:
    """Somebody, and what it can expect from one deal, of the value. `pays_from`: the share of hostile stake, if any."""

    name: str
    profit: Fraction
    pays_from: Fraction | None


def actors(terms: Terms, share: Fraction, *, appeals: bool = True) -> tuple[Actor, ...]:
    """Who may want what, the honest ones first. Attackers: what they have more than by honest work."""
    attacks: dict[str, Callable[[Fraction], Fraction]] = {
        "provider that skips the work": lambda s: skipping(terms, s, appeals=appeals),
        "provider that starves honest lone seats": lambda s: skipping(terms, s, appeals=appeals, starves=True),
        "creator that accuses without cause": lambda s: accusing(terms, s, appeals=appeals),
        "cartel that deals with itself": lambda s: self_dealing(terms, s),
        "cartel with a flaky module": lambda s: self_dealing(terms, s, flaky=True),
        "seats that call the module broken": lambda s: crying(terms, s),
    }
    honest = (
        Actor("provider that works", working(terms), None),
        Actor("seats that work", terms.audit * (SEAT_PAY - RUN), None),
    )
    return honest + tuple(Actor(name, profit(share), breaks_even(profit)) for name, profit in attacks.items())


def breaks_even(profit: Callable[[Fraction], Fraction], most: Fraction = Fraction(1, 2)) -> Fraction | None:
    """The share, in thousandths, from which on `profit` is above zero; None when it is not up to `most`.

    Looks at every fiftieth first, so a profit that comes and goes between two of them is overlooked.
    """
    coarse = Fraction(1, 50)
    share = Fraction(0)
    while share <= most and profit(share) <= 0:
        share += coarse
    if share > most:
        return None
    while share > 0 and profit(share - _STEP) > 0:
        share -= _STEP
    return share
