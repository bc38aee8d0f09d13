"""Rebuilds every balance and every status from events alone, as an indexer would. inv:I28, beh:A5, beh:B14

Knows the parameters of the deployment and the time of each block, and nothing that was called. What an event does not say
follows from the record in `DealOpened`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.digest import commitment
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.payouts import Payout, escrow
from lilypad_agents.protocol.price import audit_fee, locked_total, premium_of
from lilypad_agents.protocol.units import WHOLE, Amount
from tests.faults.book import AccrualKey, Book
from tests.support.evm import Log

Event = Mapping[str, Any]


@dataclass
class Replay:
    """What the events said so far."""

    protocol_fee_bps: int
    book: Book = field(init=False)
    deals: dict[bytes, Deal] = field(default_factory=dict)
    states: dict[bytes, DealState] = field(default_factory=dict)
    floors: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = Book(self.protocol_fee_bps)

    def read(self, logs: Iterable[Log], now: int) -> None:
        """The logs of one transaction in a block of time `now`."""
        for log in logs:
            handler = getattr(self, f"_on_{log.name}", None)
            if handler is not None:
                handler(log.args, now)

    # ---- ledger

    def _on_Deposited(self, event: Event, now: int) -> None:
        self.book.deposit(event["token"], event["account"], event["amount"])

    def _on_Withdrawn(self, event: Event, now: int) -> None:
        self.book.withdraw(event["token"], event["account"], event["amount"])

    def _on_CreditTransferred(self, event: Event, now: int) -> None:
        self.book.move(event["token"], event["from"], event["to"], event["amount"])

    def _on_FundDonated(self, event: Event, now: int) -> None:
        self.book.donate((event["strategy"], event["token"], event["pool"]), event["from"], event["amount"])

    def _on_RoyaltyClaimed(self, event: Event, now: int) -> None:
        paid = self.book.claim((event["token"], event["version"], event["solver"]), 0, event["royaltyTo"])
        assert paid == event["amount"]

    def _on_SolverFeeClaimed(self, event: Event, now: int) -> None:
        paid = self.book.claim((event["token"], event["version"], event["solver"]), 1, event["solver"])
        assert paid == event["amount"]

    def _on_AccrualSwept(self, event: Event, now: int) -> None:
        key: AccrualKey = (event["token"], event["version"], event["solver"], event["strategy"], event["pool"])
        self.book.sweep(key)

    def _on_FloorsRaised(self, event: Event, now: int) -> None:
        key = event["token"], event["account"]
        old = self.floors.get(key, (0, 0))
        self.floors[key] = max(old[0], event["jobFloor"]), max(old[1], event["resourceFloor"])

    # ---- deals

    def _on_DealOpened(self, event: Event, now: int) -> None:
        deal = Deal.from_words(event["record"])
        assert (deal.creator, deal.provider) == (event["creator"], event["provider"])
        assert event["dealId"] not in self.deals, "opened twice (inv:I4)"
        self.deals[event["dealId"]] = deal
        self.states[event["dealId"]] = DealState(
            Status.AGREED, DisputeKind.NONE, False, now + deal.submit_window, 0, 0
        )
        self.book.open(deal)

    def _on_ResultSubmitted(self, event: Event, now: int) -> None:
        self._turn(
            event, status=Status.RESULTS_SUBMITTED, deadline=event["judgeDeadline"], period=event["period"],
            commitment=event["commitment"],
        )  # fmt: skip

    def _on_DealAccepted(self, event: Event, now: int) -> None:
        deal = self.deals[event["dealId"]]
        if self.states[event["dealId"]].status == Status.AGREED:  # in one call, with salt 0
            posted = commitment(event["dealId"], deal.provider, event["resultDigest"], bytes(32))
            self._turn(event, commitment=posted)
        self._end(event, now, Status.ACCEPTED, self._paid(deal, event["gross"], 0), settled=True)

    def _on_DealMediationAccepted(self, event: Event, now: int) -> None:
        deal = self.deals[event["dealId"]]
        self._end(event, now, Status.MEDIATION_ACCEPTED, self._paid(deal, event["gross"], event["claim"], event))

    def _on_DealDeclined(self, event: Event, now: int) -> None:
        deal, cost = self.deals[event["dealId"]], event["compensation"]
        total = locked_total(deal, self.protocol_fee_bps)
        self._end(event, now, Status.DECLINED, Payout(creator=total + cost, provider=deal.collateral - cost))

    def _on_DealTimedOut(self, event: Event, now: int) -> None:
        deal = self.deals[event["dealId"]]
        total, penalty, bounty = locked_total(deal, self.protocol_fee_bps), event["penalty"], event["bounty"]
        payout = Payout(
            creator=total + penalty - bounty,
            provider=deal.collateral - penalty - event["premium"] - event["claim"],
            keeper=bounty, fund=event["premium"], strategy=event["claim"],
        )  # fmt: skip
        self._end(event, now, Status.TIMED_OUT, payout, keeper=event["keeper"])

    def _on_DealClosed(self, event: Event, now: int) -> None:
        payout = Payout(creator=event["toCreator"], provider=event["toProvider"], fund=event["premium"])
        self._end(event, now, Status.CLOSED_BY_AGREEMENT, payout)

    def _on_DisputeOpened(self, event: Event, now: int) -> None:
        deal, kind = self.deals[event["dealId"]], DisputeKind(event["kind"])
        self.book.dispute(deal, event["by"], event["fee"], event["fromFund"], event["fromCollateral"])
        challenged = self.states[event["dealId"]].delivery_challenged or kind == DisputeKind.DELIVERY
        self._turn(
            event, status=Status.IN_MEDIATION, kind=kind, deadline=event["deadline"], delivery_challenged=challenged
        )  # fmt: skip

    def _on_DealMediationRejected(self, event: Event, now: int) -> None:
        deal = self.deals[event["dealId"]]
        payout = Payout(
            creator=locked_total(deal, self.protocol_fee_bps) + deal.value,
            fund=premium_of(deal) + event["toFund"], challenger=event["bounty"], strategy=event["claim"],
        )  # fmt: skip
        self._end(event, now, Status.MEDIATION_REJECTED, payout, challenger=event["bountyTo"])

    def _on_DealNoFault(self, event: Event, now: int) -> None:
        deal = self.deals[event["dealId"]]
        total = locked_total(deal, self.protocol_fee_bps)
        payout = Payout(creator=total - event["premium"], provider=event["collateral"], fund=event["premium"])
        self._end(event, now, Status.NO_FAULT, payout)

    def _on_DeliveryConfirmed(self, event: Event, now: int) -> None:
        self._turn(
            event, status=Status.RESULTS_SUBMITTED, kind=DisputeKind.NONE, deadline=event["judgeDeadline"]
        )

    def _on_AdvanceRepaid(self, event: Event, now: int) -> None:
        self.book.repay(self.deals[event["dealId"]], event["to"], event["amount"])

    # ---- shared

    def _paid(self, deal: Deal, gross: int, claim: int, event: Event | None = None) -> Payout:
        """What follows from the gross by the record."""
        royalty, solver = gross * deal.royalty_bps // WHOLE, gross * deal.solver_fee_bps // WHOLE
        fund = premium_of(deal) + (gross * self.protocol_fee_bps // WHOLE if deal.is_verified else 0)
        back = deal.collateral - (self._audit_paid(event) if event else 0)
        return Payout(
            creator=Amount(locked_total(deal, self.protocol_fee_bps) - gross - royalty - solver - fund),
            provider=Amount(back + gross - claim), royalty=Amount(royalty), solver=Amount(solver), fund=Amount(fund),
            strategy=Amount(claim),
        )  # fmt: skip

    def _audit_paid(self, event: Event) -> int:
        """What the collateral paid for the running audit."""
        expired = self.states[event["dealId"]].kind == DisputeKind.AUDIT_EXPIRED
        return audit_fee(self.deals[event["dealId"]]) if expired else 0

    def _end(self, event: Event, now: int, status: Status, payout: Payout, *, settled: bool = False, **accounts: str) -> None:
        deal = self.deals[event["dealId"]]
        assert not self.states[event["dealId"]].status.is_final, "ended twice (inv:I4)"
        paid = self._audit_paid(event)
        assert payout.total == escrow(deal, self.protocol_fee_bps) - paid, "the event does not add up (beh:A2)"
        self.book.end(deal, payout, settled=settled, paid_audit=bool(paid), **accounts)
        self._turn(event, status=status, deadline=now)

    def _turn(self, event: Event, **changes: Any) -> None:
        self.states[event["dealId"]] = replace(self.states[event["dealId"]], **changes)
