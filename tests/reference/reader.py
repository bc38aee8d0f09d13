"""Rebuilds every balance, deal, stake, seat and request from events alone, as an indexer would. inv:I28, beh:A5, beh:B14

Knows the protocol fee of the deployment and the time of each block, and nothing that was called. What an event does not say follows
from the record in `DealOpened`. It keeps money in the model's ledger but shares no rule of how deals move with the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from tests.reference.ledger import Accrual, Ledger
from tests.reference.rounds import Seat
from tests.reference.terms import Price, commitment_of
from tests.reference.words import NOBODY, ZERO
from tests.support.evm import Log

Event = Mapping[str, Any]


@dataclass
class Seen:
    """A deal as events tell it."""

    creator: str
    provider: str
    accrual: Accrual
    price: Price
    submit_window: int
    status: Status
    deadline: int
    kind: DisputeKind = DisputeKind.NONE
    delivery_challenged: bool = False
    period: int = 0
    commitment: int = 0
    beginner: str = NOBODY
    owed: int = 0

    @property
    def collateral_left(self) -> int:
        paid = self.status == Status.IN_MEDIATION and self.kind == DisputeKind.AUDIT_EXPIRED
        return self.price.collateral - (self.price.audit_fee if paid else 0)

    @property
    def facts(self) -> tuple[Any, ...]:
        return (self.status, self.deadline, self.kind, self.delivery_challenged, self.period, self.commitment, self.beginner, self.owed)


@dataclass
class Stake:
    staked: int = 0
    unbonding: int = 0
    until: int = 0
    open_seats: int = 0


class Reader:
    """`names`: of the contracts, by address, since two of them have events of one name."""

    def __init__(self, names: Mapping[str, str], protocol_fee_bps: int) -> None:
        self.names, self.protocol_fee_bps = names, protocol_fee_bps
        self.ledger = Ledger()
        self.deals: dict[bytes, Seen] = {}
        self.stakes: dict[tuple[bytes, str], Stake] = {}
        self.seats: dict[bytes, dict[int, list[tuple[str, Seat]]]] = {}  # of each dispute, by round
        self.requests: dict[bytes, tuple[str, int]] = {}  # state and outcome
        self.events: Counter[str] = Counter()

    def read(self, logs: Iterable[Log], now: int) -> None:
        """The logs of one transaction in a block of time `now`."""
        for log in logs:
            contract = self.names.get(log.address, "")
            handler = getattr(self, f"_{'core' if contract == 'resolver' else contract}_{log.name}", None)
            if handler is not None:
                self.events[log.name] += 1
                handler(log.args, now)

    # ---- the ledger

    def _core_Deposited(self, e: Event, now: int) -> None:
        self.ledger.free[e["token"], e["account"]] += e["amount"]
        self.ledger.held[e["token"]] += e["amount"]

    def _core_Withdrawn(self, e: Event, now: int) -> None:
        self.ledger.free[e["token"], e["account"]] -= e["amount"]
        self.ledger.held[e["token"]] -= e["amount"]

    def _core_CreditTransferred(self, e: Event, now: int) -> None:
        self.ledger.free[e["token"], e["from"]] -= e["amount"]
        self.ledger.free[e["token"], e["to"]] += e["amount"]

    def _core_FundDonated(self, e: Event, now: int) -> None:
        self.ledger.free[e["token"], e["from"]] -= e["amount"]
        self.ledger.funds[e["strategy"], e["token"], e["pool"]] += e["amount"]

    def _core_AccrualSwept(self, e: Event, now: int) -> None:
        self.ledger.sweep(Accrual(e["token"], e["version"], e["solver"], e["strategy"], e["pool"]))

    def _core_RoyaltyClaimed(self, e: Event, now: int) -> None:
        key = e["token"], e["version"], e["solver"]
        assert self.ledger.fees[key][0] == e["amount"], "a royalty that nothing explains"
        self.ledger.claim_royalty(key, e["royaltyTo"], e["royaltyTo"])

    def _core_SolverFeeClaimed(self, e: Event, now: int) -> None:
        key = e["token"], e["version"], e["solver"]
        assert self.ledger.fees[key][1] == e["amount"], "a solver fee that nothing explains"
        self.ledger.claim_solver_fee(key)

    def _core_FloorsRaised(self, e: Event, now: int) -> None:
        self.ledger.cancel_below(e["account"], e["token"], e["jobFloor"], e["resourceFloor"])

    def _core_OfferNonceCancelled(self, e: Event, now: int) -> None:
        self.ledger.cancel(e["account"], e["resource"], e["nonce"])

    def _core_DelegateGranted(self, e: Event, now: int) -> None:
        self.ledger.delegates[e["account"], e["key"]] = e["scope"], e["expiry"]

    def _core_DelegateRevoked(self, e: Event, now: int) -> None:
        self.ledger.revoke(e["account"], e["key"])

    # ---- deals

    def _core_DealOpened(self, e: Event, now: int) -> None:
        assert e["dealId"] not in self.deals, "opened twice (inv:I4)"
        seen = self._record([bytes(word) for word in e["record"]], now)
        assert (seen.creator, seen.provider) == (e["creator"], e["provider"])
        self.deals[e["dealId"]] = seen
        self.ledger.lock(seen.accrual.token, seen.creator, seen.price.total)
        self.ledger.lock(seen.accrual.token, seen.provider, seen.price.collateral)

    def _record(self, dense: list[bytes], now: int) -> Seen:
        """Twelve words of section 3.4."""
        def low(index: int) -> str:
            return self._account(dense[index][12:])

        def high(index: int) -> int:
            return int.from_bytes(dense[index][:12], "big")

        numbers = int.from_bytes(dense[3], "big")
        fields = []
        for bits in (64, 96, 16, 16, 16, 32):
            fields.append(numbers & (1 << bits) - 1)
            numbers >>= bits
        max_units, seat_fee, audit, royalty, solver_fee, _ = fields
        price = Price(high(1), high(2), max_units, high(0), seat_fee, high(8), audit, royalty, solver_fee, self.protocol_fee_bps,
                      dense[5] != ZERO)  # fmt: skip
        submit_window = int.from_bytes(dense[7][:4], "big")
        accrual = Accrual(low(2), dense[4], low(6), low(7), dense[5])
        return Seen(low(0), low(1), accrual, price, submit_window, Status.AGREED, now + submit_window)

    def _account(self, twenty: bytes) -> str:
        plain = "0x" + twenty.hex()
        return next((address for address in self.names if address.lower() == plain), NOBODY)

    def _core_ResultSubmitted(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        deal.status, deal.deadline, deal.period = Status.RESULTS_SUBMITTED, e["judgeDeadline"], e["period"]
        deal.commitment = e["commitment"]

    def _core_DealAccepted(self, e: Event, now: int) -> None:
        deal, gross = self.deals[e["dealId"]], e["gross"]
        if deal.status == Status.AGREED:  # in one call, with salt 0
            deal.commitment = commitment_of(e["dealId"], deal.provider, bytes(e["resultDigest"]), ZERO)
        fees = deal.price.fees(gross)
        self.ledger.accrue(deal.accrual, *fees)
        self._end(deal, now, Status.ACCEPTED, (deal.creator, deal.price.total - gross - sum(fees)), (deal.provider, deal.price.collateral + gross))

    def _core_DealMediationAccepted(self, e: Event, now: int) -> None:
        deal, gross = self.deals[e["dealId"]], e["gross"]
        royalty, solver_fee, to_fund = deal.price.fees(gross)
        self.ledger.add_fees(deal.accrual.fees, royalty, solver_fee)
        self.ledger.funds[deal.accrual.fund] += to_fund
        back = deal.price.total - gross - royalty - solver_fee - to_fund
        self._end(deal, now, Status.MEDIATION_ACCEPTED, (deal.creator, back), (deal.provider, deal.collateral_left + gross - e["claim"]),
                  (deal.accrual.strategy, e["claim"]))  # fmt: skip

    def _core_DealDeclined(self, e: Event, now: int) -> None:
        deal, cost = self.deals[e["dealId"]], e["compensation"]
        self._end(deal, now, Status.DECLINED, (deal.creator, deal.price.total + cost), (deal.provider, deal.price.collateral - cost))

    def _core_DealTimedOut(self, e: Event, now: int) -> None:
        deal, penalty, bounty = self.deals[e["dealId"]], e["penalty"], e["bounty"]
        self.ledger.funds[deal.accrual.fund] += e["premium"]
        self._end(deal, now, Status.TIMED_OUT, (deal.creator, deal.price.total + penalty - bounty), (e["keeper"], bounty),
                  (deal.provider, deal.price.collateral - penalty - e["premium"] - e["claim"]), (deal.accrual.strategy, e["claim"]))  # fmt: skip

    def _core_DealClosed(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        self.ledger.funds[deal.accrual.fund] += e["premium"]
        self._end(deal, now, Status.CLOSED_BY_AGREEMENT, (deal.creator, e["toCreator"]), (deal.provider, e["toProvider"]))

    def _core_DealMediationRejected(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        self.ledger.funds[deal.accrual.fund] += deal.price.premium + e["toFund"]
        self._end(deal, now, Status.MEDIATION_REJECTED, (deal.creator, deal.price.total + deal.price.value),
                  (e["bountyTo"], e["bounty"]), (deal.accrual.strategy, e["claim"]))  # fmt: skip

    def _core_DealNoFault(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        self.ledger.funds[deal.accrual.fund] += e["premium"]
        self._end(deal, now, Status.NO_FAULT, (deal.creator, deal.price.total - e["premium"]), (deal.provider, e["collateral"]))

    def _core_DisputeOpened(self, e: Event, now: int) -> None:
        deal, kind, token = self.deals[e["dealId"]], DisputeKind(e["kind"]), self.deals[e["dealId"]].accrual.token
        own = e["fee"] - e["fromFund"] - e["fromCollateral"]
        self.ledger.free[token, e["by"]] -= own
        self.ledger.funds[deal.accrual.fund] -= e["fromFund"]
        self.ledger.locked[token, deal.provider] -= e["fromCollateral"]
        self.ledger.free[token, deal.accrual.strategy] += e["fee"]
        deal.status, deal.kind, deal.deadline = Status.IN_MEDIATION, kind, e["deadline"]
        deal.delivery_challenged = deal.delivery_challenged or kind == DisputeKind.DELIVERY
        deal.beginner, deal.owed = e["by"], own if kind == DisputeKind.AUDIT else 0
        self.seats[e["dealId"]] = {}

    def _core_DeliveryConfirmed(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        deal.status, deal.kind, deal.deadline = Status.RESULTS_SUBMITTED, DisputeKind.NONE, e["judgeDeadline"]

    def _core_AdvanceRepaid(self, e: Event, now: int) -> None:
        deal = self.deals[e["dealId"]]
        self.ledger.funds[deal.accrual.fund] -= e["amount"]
        self.ledger.free[deal.accrual.token, e["to"]] += e["amount"]
        deal.owed -= e["amount"]

    def _end(self, deal: Seen, now: int, status: Status, *credits: tuple[str, int]) -> None:
        assert not deal.status.is_final, "ended twice (inv:I4)"
        token = deal.accrual.token
        self.ledger.locked[token, deal.creator] -= deal.price.total
        self.ledger.locked[token, deal.provider] -= deal.collateral_left
        for account, amount in credits:
            if amount:
                self.ledger.free[token, account] += amount
        deal.status, deal.deadline = status, now

    # ---- stakes and seats

    def _stake(self, e: Event) -> Stake:
        return self.stakes.setdefault((bytes(e["pool"]), e["account"]), Stake())

    def _staking_Staked(self, e: Event, now: int) -> None:
        self._stake(e).staked += e["amount"]

    def _staking_UnbondingRequested(self, e: Event, now: int) -> None:
        stake = self._stake(e)
        stake.staked -= e["amount"]
        stake.unbonding += e["amount"]
        stake.until = e["withdrawableAt"]

    def _staking_StakeWithdrawn(self, e: Event, now: int) -> None:
        self._stake(e).unbonding -= e["amount"]

    def _staking_SeatReleased(self, e: Event, now: int) -> None:
        stake = self._stake(e)
        out_of_stake = min(stake.staked, e["loss"])
        stake.staked -= out_of_stake
        stake.unbonding -= e["loss"] - out_of_stake
        stake.open_seats -= 1

    def _staking_RoundDrawn(self, e: Event, now: int) -> None:
        for account in e["seats"]:
            self.stakes[bytes(e["pool"]), account].open_seats += 1

    def _mediation_SeatsDrawn(self, e: Event, now: int) -> None:
        """After a redraw those who had committed stay in place."""
        before = self.seats[e["dealId"]].get(e["round"], [])
        accounts = e["seating"][4]
        states = [state if state == Seat.COMMITTED else Seat.SILENT for _, state in before] or [Seat.SILENT] * len(accounts)
        self.seats[e["dealId"]][e["round"]] = list(zip(accounts, states, strict=True))

    def _mediation_Committed(self, e: Event, now: int) -> None:
        self._say(e, Seat.COMMITTED)

    def _mediation_Revealed(self, e: Event, now: int) -> None:
        self._say(e, Seat(e["state"]))

    def _say(self, e: Event, state: Seat) -> None:
        seats = self.seats[e["dealId"]][e["round"]]
        assert seats[e["seat"]][0] == e["account"], "a seat of another account"
        seats[e["seat"]] = e["account"], state

    # ---- jobs

    def _jobs_JobRequested(self, e: Event, now: int) -> None:
        self.requests[bytes(e["requestId"])] = "REQUESTED", 0

    def _jobs_JobDelivered(self, e: Event, now: int) -> None:
        self.requests[bytes(e["requestId"])] = "DELIVERED", e["outcome"]

    def _jobs_CallbackFailed(self, e: Event, now: int) -> None:
        self.requests[bytes(e["requestId"])] = "CALLBACK_FAILED", e["outcome"]
