"""What deals brought and what gas they cost: `lilypad provider earnings`. From the agent's own tables, also while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.agents.provider.store import ProviderStore, StoredDispute
from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.logs import LogCursor
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import Address, hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import decline_cost, penalty

_EVENT_OF = {
    Status.TIMED_OUT: "DealTimedOut",
    Status.DECLINED: "DealDeclined",
    Status.CLOSED_BY_AGREEMENT: "DealClosed",
    Status.MEDIATION_ACCEPTED: "DealMediationAccepted",
    Status.NO_FAULT: "DealNoFault",
}


def income_of(entry: DealView, cursor: LogCursor, provider: Address) -> int:
    """What an ended deal changed in the provider's account since before it was opened, smallest units."""
    status, deal = entry.state.status, entry.deal
    if status is Status.ACCEPTED:
        return entry.gross or 0
    if status is Status.MEDIATION_REJECTED:
        return -deal.collateral
    events = list(cursor.events(_EVENT_OF[status], topic1=entry.id)) if status in _EVENT_OF else []
    if events:
        return _by_event(status, events[-1].args, deal.collateral, provider)
    return {Status.TIMED_OUT: -penalty(deal), Status.DECLINED: -decline_cost(deal)}.get(status, 0)


def _by_event(status: Status, args: Mapping[str, Any], collateral: int, provider: Address) -> int:
    if status is Status.TIMED_OUT:
        bounty = args["bounty"] if args["keeper"] == provider else 0
        return int(bounty - args["penalty"] - args["premium"] - args["claim"])
    if status is Status.DECLINED:
        return -int(args["compensation"])
    if status is Status.CLOSED_BY_AGREEMENT:
        return int(args["toProvider"]) - collateral
    if status is Status.MEDIATION_ACCEPTED:
        return int(args["gross"] - args["claim"])
    return int(args["collateral"]) - collateral


@dataclass(frozen=True)
class Earnings:
    """Amounts in smallest units of the token; `gas_wei` in wei of the chain's coin, which is not converted.

    `earned` and `lost` add up to what ended deals changed; `running` deals have not ended. `by_status`: number and
    amount of ended deals. `appeals_paid`, `appeals_back`: what disputes cost and gave back beside that; `disputes`: each of
    them, newest last.
    """

    earned: int
    lost: int
    running: int
    gas_wei: int
    transactions: int
    by_status: Mapping[Status, tuple[int, int]]
    disputes: tuple[StoredDispute, ...] = ()

    @property
    def appeals_paid(self) -> int:
        return sum(dispute.paid for dispute in self.disputes)

    @property
    def appeals_back(self) -> int:
        return sum(dispute.back for dispute in self.disputes)

    @property
    def net(self) -> int:
        return self.earned - self.lost - self.appeals_paid + self.appeals_back

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: amounts are decimal texts."""
        return {
            "earned": str(self.earned),
            "lost": str(self.lost),
            "net": str(self.net),
            "gasWei": str(self.gas_wei),
            "transactions": self.transactions,
            "running": self.running,
            "appealsPaid": str(self.appeals_paid),
            "appealsBack": str(self.appeals_back),
            "disputes": [
                {
                    "deal": hex_of(dispute.deal_id),
                    "kind": dispute.kind.name,
                    "phase": dispute.phase.name,
                    "round": dispute.round,
                    "finding": dispute.finding.name,
                    "appealsPaid": str(dispute.paid),
                    "appealsBack": str(dispute.back),
                }
                for dispute in self.disputes
            ],
            "deals": {status.name: {"count": n, "amount": str(amount)} for status, (n, amount) in self.by_status.items()},
        }


def earnings(database: Database, provider: Address, since: int = 0) -> Earnings:
    """What the deals that ended, and the disputes that moved, at `since` (unix s of block time) or later brought this provider.

    Gas is that of the transactions which this database has seen; one that was rebuilt knows those since then.
    """
    store = ProviderStore(database)
    rows = database.query(
        "SELECT i.status, i.amount FROM provider_income AS i JOIN deal ON deal.id = i.deal AND deal.status = i.status "
        "WHERE i.at >= ? AND deal.provider = ?",
        (since, provider),
    )
    by_status: dict[Status, tuple[int, int]] = {}
    for row in rows:
        count, amount = by_status.get(Status(row["status"]), (0, 0))
        by_status[Status(row["status"])] = (count + 1, amount + int(row["amount"]))
    amounts = [int(row["amount"]) for row in rows]
    gas = database.query("SELECT wei FROM provider_gas")
    running = database.query("SELECT count(*) AS n FROM deal WHERE provider = ? AND status IN (1, 2, 3)", (provider,))
    return Earnings(
        earned=sum(amount for amount in amounts if amount > 0),
        lost=-sum(amount for amount in amounts if amount < 0),
        running=running[0]["n"],
        gas_wei=sum(int(row["wei"]) for row in gas),
        transactions=len(gas),
        by_status=by_status,
        disputes=tuple(store.disputes(since)),
    )


def read_earnings(settings: AgentSettings, provider: Address, since: int = 0) -> Earnings:
    """As `earnings`, from the provider's data folder, whether it runs or not. Raises ConfigurationError without one."""
    path: Path = settings.data / "agent.sqlite"
    if not path.exists():
        raise ConfigurationError(f"There is no provider in {settings.data}.", hint="Name its data folder with `data`.")
    database = Database.open(path)
    try:
        return earnings(database, provider, since)
    finally:
        database.close()
