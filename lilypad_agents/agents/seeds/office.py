"""What `lilypad seeds status` and `withdraw` look up and send. Times unix seconds, money wei."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.runtime.context import AgentContext, Contracts, load_signer, read_parameters
from lilypad_agents.agents.runtime.seeds import SeedStatus
from lilypad_agents.agents.seeds.agent import key_of
from lilypad_agents.agents.seeds.book import Book, Secrets, Unopened, cursor_of, first_block, source_of
from lilypad_agents.agents.seeds.decide import Action, SeedView
from lilypad_agents.agents.seeds.run import book_of
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment, read_moment
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.logs import LogCursor
from lilypad_agents.chain.outbox_store import OutboxStore
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol.ids import Address, hex_of
from lilypad_agents.protocol.units import Period

MINED_S = 60.0
_OVERLAP_BLOCKS = 64  # read again, for what a reorganisation may have changed since


@dataclass(frozen=True)
class Standing:
    """Where an account stands. `open`, `back` and `lost`: periods whose bond is locked, can be reclaimed, is gone.

    `seeds`: status of the seeds of the period before, the present and the next one, `participants`: their commitments and
    how many are revealed. `revealed`: by this account. `gas_wei`, `transactions`: of those that the data folder still knows.
    """

    account: Address
    view: SeedView
    open: tuple[Period, ...]
    back: tuple[Period, ...]
    lost: tuple[Period, ...]
    foreign: tuple[Period, ...]
    seeds: dict[int, SeedStatus]
    participants: dict[int, tuple[int, int]]
    revealed: frozenset[Period]
    gas_wei: int
    transactions: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: amounts are decimal texts."""
        rounds, period = self.view.rounds, self.view.next - 1
        return {
            "account": self.account, "time": int(self.view.time), "period": period,
            "committedForNext": self.view.next in self.open,
            "open": [
                {"period": item, "revealStart": rounds.reveal_start(item), "revealEnd": rounds.reveal_end(item),
                 "ours": item not in self.foreign} for item in self.open
            ],
            "reclaimable": list(self.back), "lost": list(self.lost), "revealed": len(self.revealed),
            "bond": str(rounds.bond), "freeBond": str(self.view.free), "lockedBond": str(rounds.bond * len(self.open)),
            "lostBond": str(rounds.bond * len(self.lost)), "coin": str(self.view.coin),
            "leastParticipants": rounds.least_participants,
            "periods": [
                {"period": item, "seed": status.name.lower(), "committed": self.participants[item][0],
                 "revealed": self.participants[item][1]} for item, status in self.seeds.items()
            ],
            "gasWei": str(self.gas_wei), "transactions": self.transactions,
        }  # fmt: skip


def read_standing(settings: SeedSettings) -> Standing:
    """From the chain and the data folder, whether the agent runs or not.

    Raises NoCommitReveal, ConfigurationError kinds, KeyUnusable, ChainUnreachable.
    """
    addresses = AddressBook.load(settings.address_book)
    with closing(Rpc(RpcConfig(settings.rpc, addresses.chain_id))) as rpc:
        contracts = Contracts(addresses, rpc)
        randomness = read_parameters(contracts.resolver).randomness
        source = source_of(contracts, randomness)
        signer = load_signer(settings, addresses.chain_id)
        account = Address(signer.address)
        book = Book(source, account, Secrets.made_by(signer, addresses.chain_id, randomness))
        path = settings.data / "agent.sqlite"
        with closing(Database.open(path if path.exists() else None)) as database:
            events = _events(cursor_of(database, source, account, first_block(contracts)), source, account)
            return _standing(book, events, OutboxStore(database), read_moment(rpc))


def _events(stored: LogCursor, source: Contract, account: Address) -> list[DecodedEvent]:
    """What the agent has stored, and what came since: it may be behind, or may not run, and its database is its own."""
    found, since = list(stored.events()), max(0, stored.reached + 1 - _OVERLAP_BLOCKS)
    with closing(Database.open(None)) as database:
        cursor = cursor_of(database, source, account, since)
        while not cursor.advance().caught_up:
            pass
        return [*found, *cursor.events()]


def _standing(book: Book, events: list[DecodedEvent], outbox: OutboxStore, head: ChainMoment) -> Standing:
    view = book.look(head, Unopened.of(events).periods)
    over = [item for item in view.commitments if view.is_over(item.period)]
    opened = [item for item in view.commitments if not view.is_over(item.period)]
    shown = [Period(view.next - 2), Period(view.next - 1), view.next]
    calls = [book.source.prepare(name, period) for period in shown for name in ("seed", "participantsOf")]
    found = call_many(book.source.rpc, calls, head)
    gas_wei, transactions = outbox.costs()
    return Standing(
        account=book.account,
        view=view,
        open=tuple(item.period for item in opened),
        back=tuple(item.period for item in over if item.revealed == 0),
        lost=tuple(item.period for item in over if item.revealed),
        foreign=tuple(item.period for item in opened if not item.ours),
        seeds={period: SeedStatus(found[2 * at][0]) for at, period in enumerate(shown)},
        participants={period: (int(found[2 * at + 1][0]), int(found[2 * at + 1][1])) for at, period in enumerate(shown)},
        revealed=frozenset(Period(int(event.args["period"])) for event in events if event.name == "Revealed"),
        gas_wei=gas_wei,
        transactions=transactions,
    )


def withdraw(settings: SeedSettings, amount: int | None, timeout_s: float = MINED_S) -> dict[str, Any]:
    """Sends the account `amount` wei of its free bond; None: all of it. The agent must not run: it would lock bonds again.

    Raises AlreadyRunning, InsufficientFunds (the free bond is less, or zero), NoCommitReveal, and what sending raises.
    """
    with AgentContext.open(settings) as context:
        book = book_of(context)
        # A commitment that was not signed when the agent ended must not leave now, where nobody would reveal it.
        next_ = book.rounds.period_at(context.now) + 1
        context.outbox.withdraw(key_of(Action.COMMIT, Period(next_)))
        free = book.look(context.head, ()).free
        wanted = free if amount is None else amount
        if not 0 < wanted <= free:
            raise InsufficientFunds(
                f"The free bond of {context.address} is {free} wei, {max(1, wanted)} are asked for.",
                hint="What is locked comes back with its reveal: `lilypad seeds status` shows when.",
                has=free, needed=max(1, wanted),
            )  # fmt: skip
        key = f"withdraw:{context.head.number}:{context.head.hash.hex()[:16]}"
        context.outbox.submit(key, book.source.address, book.source.encode("withdraw", wanted))
        receipt = context.outbox.wait(key, timeout_s)
        left = book.look(read_moment(context.rpc), ())
        return {
            "account": context.address, "withdrawn": str(wanted), "freeBond": str(left.free),
            "open": [item.period for item in left.commitments], "transaction": hex_of(receipt.transaction_hash),
        }  # fmt: skip
