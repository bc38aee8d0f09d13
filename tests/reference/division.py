"""Who gets what at the end of a dispute. Protocol section 6.2, "Money": every unit that came in for it goes out.

Smallest units. Out of a seat's fee 2 % is for keepers; a third of that went to whoever drew the seat.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lilypad_agents.protocol.lifecycle import DisputeKind
from tests.reference.deals import Deal
from tests.reference.rounds import Finding, Phase, Round, Seat, tally
from tests.reference.terms import PoolTerms
from tests.reference.words import NOBODY, ZERO


@dataclass(frozen=True)
class Ended:
    """A dispute at its end. `rounds` as they are now; `lone`: a first lone seat that was replaced; `lost`: by silent seats that were,
    less what their redraws cost; `most_claim`: on a verdict against the provider, section 6.1."""

    deal: Deal
    terms: PoolTerms
    rounds: list[Round]
    standing: Finding
    keeper: str
    lone: str
    lost: int
    most_claim: int

    @property
    def side(self) -> str:
        return self.standing.side

    @property
    def opened(self) -> bytes:
        """The provider's digest."""
        drawn = [r for r in self.rounds if r.is_drawn]
        return drawn[-1].opened if drawn and self.deal.kind != DisputeKind.DELIVERY else ZERO

    @property
    def right(self) -> bytes:
        """The digest that a finding of another digest is about."""
        if self.standing != Finding.OTHER:
            return ZERO
        return tally(self.rounds[-1] if self.rounds[-1].finding != Finding.NONE else self.rounds[-2])[1]


def fee_of(deal: Deal) -> int:
    """Of a seat: re-running, or fetching alone."""
    return deal.price.seat_floor if deal.kind == DisputeKind.DELIVERY else deal.price.seat_fee


def keepers_part(deal: Deal) -> int:
    """2 % of a seat's fee, rounded down; the seat keeps the rest."""
    return fee_of(deal) * 2 // 100


def is_audit(deal: Deal) -> bool:
    return deal.kind in (DisputeKind.AUDIT, DisputeKind.AUDIT_EXPIRED)


def standing_of(rounds: list[Round]) -> Finding:
    """The last round's; a void appeal leaves what stood before, and a lone seat's word that calls a panel does not stand."""
    if not rounds:
        return Finding.NONE
    last = rounds[-1]
    if last.finding != Finding.NONE:
        return Finding.NONE if last.phase == Phase.DUE else last.finding
    return rounds[-2].finding if last.appellant != NOBODY else Finding.NONE


def divide(ended: Ended) -> Division:
    division = Division(ended)
    for index, round_ in enumerate(ended.rounds):
        division.settle(index, round_)
    division.pot += ended.lost + sum(loss for _, loss in division.losses)
    division.take_claim()
    division.give_unused()
    division.give_pot()
    division.pay_keepers()
    return division


@dataclass
class Division:
    """`losses`: of each seat that ends now. `unused`: of the fees that the dispute began with."""

    ended: Ended
    credits: Counter[str] = field(default_factory=Counter)
    losses: list[tuple[str, int]] = field(default_factory=list)
    claim: int = 0
    to_fund: int = 0
    pot: int = 0
    keepers: int = 0
    returned: dict[int, int] = field(default_factory=dict)  # of an appellant's fees, whatever the pot holds

    def __post_init__(self) -> None:
        deal = self.ended.deal
        self.fee, self.keepers_part = fee_of(deal), keepers_part(deal)
        self.begun = self.unused = self.fee * (4 if is_audit(deal) else 3)

    # ---- 1: seats

    def settle(self, index: int, r: Round) -> None:
        """Pays the seats that agree with what stands. Unearned fees are the pot's, on no fault whose they were."""
        paid = self._seats(r)
        seat_part = self.fee - self.keepers_part
        for account in paid:
            self.credits[account] += seat_part
        spent = r.count * self.keepers_part // 3 if r.is_drawn else 0  # who drew was paid at once
        if r.finding != Finding.NONE:
            self.keepers += r.count * self.keepers_part - spent
            spent = r.count * self.keepers_part + len(paid) * seat_part
            if self.ended.side != "neither":
                self.pot += r.count * self.fee - spent
                spent = r.count * self.fee
        if r.appellant == NOBODY:
            self.unused -= spent
        else:
            self.returned[index] = r.count * self.fee - spent

    def _seats(self, r: Round) -> list[str]:
        """The accounts of a drawn round's paid seats; notes what each seat that ends now loses."""
        stake, paid = self.ended.terms.seat_stake, []
        asked = r.opened != ZERO or not r.delivery  # about delivery nobody is asked before the data is named
        voting = r.phase == Phase.REVEAL or (r.phase == Phase.OPEN and not r.delivery)
        for account, state, vote in zip(r.accounts, r.seats, r.votes, strict=True):
            if r.phase == Phase.QUEUED and state == Seat.SILENT:
                continue  # ended when its successor was asked for
            agrees = contradicted = absent = False
            if r.finding == Finding.NONE:  # void: only those that let the commit window pass
                absent = state == Seat.SILENT and (voting or r.awaits_redraw)
            elif state in (Seat.SILENT, Seat.COMMITTED):
                absent = asked
            else:
                agrees, contradicted = judged(self.ended.standing, state, vote, self.ended.opened, self.ended.right)
            self.losses.append((account, stake if contradicted else stake // 4 if absent else 0))
            paid += [account] if agrees else []
        return paid

    # ---- 2 and 3: what the pot owes, and what the claim brings

    def _lone_owed(self) -> int:
        """A first lone seat that was right about Unavailable; on no fault whatever it said."""
        e = self.ended
        unserved = e.standing in (Finding.UNSERVED, Finding.NOT_OPENED) and e.rounds[0].lone_unserved
        return self.fee - self.keepers_part if e.lone != NOBODY and (e.side == "neither" or unserved) else 0

    def _appellants_owed(self) -> dict[int, int]:
        """Whose appeal brought the verdict: its round says so, and the one before did not."""
        rounds = self.ended.rounds
        return {i: rounds[i].count * self.fee - back for i, back in self.returned.items() if brought(rounds[i], rounds[i - 1], self.ended.standing)}

    def _beginner_owed(self) -> int:
        """A challenger that was right."""
        return self.begun if self.ended.side == "against" and not is_audit(self.ended.deal) else 0

    def take_claim(self) -> None:
        """What the pot lacks on a verdict against the provider; and the panel that its serving late caused."""
        e = self.ended
        if e.side == "provider" and e.deal.kind == DisputeKind.AUDIT and e.rounds[-1].provider_late:
            self.claim = 3 * self.fee
        if e.side == "against":
            owed = self._lone_owed() + self._beginner_owed() + sum(self._appellants_owed().values())
            self.claim = min(max(owed - self.pot - self.unused, 0), e.most_claim)
        self.pot += self.claim

    # ---- 4 and 5: fees that nobody needed

    def give_unused(self) -> None:
        e, deal = self.ended, self.ended.deal
        if e.side == "neither":  # out of these the first lone seat is paid, last of all seats
            given = min(self._lone_owed(), self.unused)
            self.credits[e.lone] += given
            self.unused -= given
        if deal.kind == DisputeKind.AUDIT_EXPIRED and e.side != "against":
            self.credits[deal.record.provider] += self.unused
        elif e.side == "neither" and not is_audit(deal):
            self.credits[deal.beginner] += self.unused
        elif e.side == "neither":
            self.to_fund += self.unused
        else:
            self.pot += self.unused

    def give_pot(self) -> None:
        """In the order of the section, as far as it reaches; the fund gets the rest."""
        e = self.ended
        owed = [(e.lone, self._lone_owed() if e.side != "neither" else 0)]
        owed += [(e.rounds[i].appellant, amount) for i, amount in self._appellants_owed().items()]
        owed += [(e.deal.beginner, self._beginner_owed())]
        for account, amount in owed:
            given = min(amount, self.pot)
            self.credits[account] += given
            self.pot -= given
        for index, back in self.returned.items():
            self.credits[e.rounds[index].appellant] += back
        self.to_fund += self.pot

    def pay_keepers(self) -> None:
        """A third of a lone seat's part to who called the audit, what is left to who executes."""
        e = self.ended
        if is_audit(e.deal) and e.rounds and e.rounds[0].finding != Finding.NONE:
            self.credits[e.deal.beginner] += self.keepers_part // 3
            self.keepers -= self.keepers_part // 3
        self.credits[e.keeper] += self.keepers
        self.credits = Counter({account: amount for account, amount in self.credits.items() if amount})


def brought(r: Round, before: Round, standing: Finding) -> bool:
    return r.finding != Finding.NONE and r.finding.side == standing.side != before.finding.side


def judged(standing: Finding, state: Seat, vote: bytes, opened: bytes, right: bytes) -> tuple[bool, bool]:
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
