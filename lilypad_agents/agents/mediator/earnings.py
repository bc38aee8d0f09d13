"""What seats, steps and appeals brought and cost: `lilypad mediator status`. From stored events, also while the agent runs.

Amounts are smallest units of the pools' token. Gas is counted apart, in wei of the chain's coin, which is not converted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.mediator.store import MediatorStore
from lilypad_agents.agents.runtime.context import Contracts
from lilypad_agents.agents.runtime.disputes import MEDIATION
from lilypad_agents.agents.runtime.panels import cursor_of
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import Address


@dataclass(frozen=True)
class Earnings:
    """`earned`: what the strategy credited: fees of seats, shares of keepers, fees of appeals that came back. `lost`: stake.

    `appeals`: what our appeals cost when they were made. `seats`: how many ended.
    """

    earned: int
    lost: int
    appeals: int
    seats: int
    gas_wei: int
    transactions: int

    @property
    def net(self) -> int:
        return self.earned - self.lost - self.appeals

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: amounts are decimal texts."""
        return {
            "earned": str(self.earned), "lost": str(self.lost), "appeals": str(self.appeals), "net": str(self.net),
            "seatsEnded": self.seats, "gasWei": str(self.gas_wei), "transactions": self.transactions,
        }  # fmt: skip


def earnings(events: Iterable[DecodedEvent], store: MediatorStore, mediation: str, accounts: Collection[Address]) -> Earnings:
    """From the events of `panels.cursor_of`. `accounts`: the one whose seats they are, and that of the key.

    A database that was rebuilt knows everything but the gas of transactions before.
    """
    earned = lost = appeals = seats = 0
    for event in events:
        args = event.args
        if event.name == "CreditTransferred" and args["from"] == mediation and args["to"] in accounts:
            earned += int(args["amount"])
        elif event.name == "SeatReleased" and args["account"] in accounts:
            lost, seats = lost + int(args["loss"]), seats + 1
        elif event.name == "Appealed" and args["appellant"] in accounts:
            appeals += int(args["fee"])
    wei, transactions = store.gas()
    return Earnings(earned, lost, appeals, seats, wei, transactions)


def read_earnings(settings: MediatorSettings, accounts: Collection[Address]) -> Earnings:
    """As `earnings`, from the mediator's data folder, whether it runs or not. Raises ConfigurationError without one."""
    path = settings.data / "agent.sqlite"
    if not path.exists():
        raise ConfigurationError(f"There is no mediator in {settings.data}.", hint="Name its data folder with `data`.")
    book = AddressBook.load(settings.address_book)
    with closing(Database.open(path)) as database, closing(Rpc(RpcConfig(settings.rpc, book.chain_id))) as rpc:
        contracts = Contracts(book, rpc)
        cursor = cursor_of(database, rpc, contracts)
        return earnings(cursor.events(), MediatorStore(database), contracts[MEDIATION].address, accounts)
