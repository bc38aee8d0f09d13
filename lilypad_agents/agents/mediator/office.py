"""What the commands of a mediator look up and send, whether its agent runs or not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.mediator.draws import CheckedDraw, check_draws
from lilypad_agents.agents.mediator.errors import NoMediation, NoSuchRound, PoolUnknown
from lilypad_agents.agents.mediator.keeping import Stake
from lilypad_agents.agents.mediator.orders import Order, hand_over, steps_of
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.mediator.store import MediatorStore, StoredVote
from lilypad_agents.agents.mediator.votes import name_of
from lilypad_agents.agents.runtime.context import AgentContext, Contracts, load_signer
from lilypad_agents.agents.runtime.disputes import MEDIATION, Dispute, facts_of, look
from lilypad_agents.agents.runtime.panels import STAKING, cursor_of
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import call_many
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.errors import ConfigurationError, InsufficientFunds, UsageError
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.dispute import appeal_fee, is_about_delivery, next_round
from lilypad_agents.protocol.ids import Address, DealId, hex_of
from lilypad_agents.protocol.mediation import SeatState
from lilypad_agents.protocol.terms import PoolTerms

MINED_S = 60.0


@dataclass(frozen=True)
class Seat:
    """One seat of ours. `deadline`: of the dispute's phase, unix seconds (0: none). `vote`: ours, where it is stored."""

    deal_id: DealId
    round: int
    seat: int
    state: SeatState
    phase: str
    deadline: int
    vote: bytes | None
    why: str = ""
    standing: bool = True  # in the round that runs


@dataclass(frozen=True)
class PoolStake:
    """Ours in one pool at the head. `unbonding_s`: seconds from a request to its withdrawal; `now`: block time."""

    pool: PoolTerms
    stake: Stake
    unbonding_s: int
    now: int


class Office:
    """Reads for one mediator's settings. Use `open_office`."""

    def __init__(self, settings: MediatorSettings, rpc: Rpc, contracts: Contracts) -> None:
        self.settings = settings
        self.rpc = rpc
        self.contracts = contracts
        self.key = Address(load_signer(settings, contracts.book.chain_id).address)
        self.account = settings.seat_account(self.key)
        self._token: Token | None = None

    @property
    def token(self) -> Token:
        """The deployment's token, which pools of ours are in."""
        if self._token is None:
            self._token = CreatorChain(self.rpc, self.contracts.book).token()
        return self._token

    def pool(self, prefix: str | None) -> PoolTerms:
        """The one pool that is meant. Raises PoolUnknown when there is none, or several and no `prefix` of an id."""
        wanted = (prefix or "").lower().removeprefix("0x")
        found = [pool for pool in self.settings.pools if pool.id.hex().startswith(wanted)]
        if len(found) != 1:
            known = ", ".join(hex_of(pool.id)[:10] for pool in self.settings.pools) or "none"
            raise PoolUnknown(f"{len(found)} pools are meant; the settings name {known}.", pool=prefix or "")
        return found[0]

    def require_own(self) -> None:
        """Raises UsageError where the key is another account's operator: stakes move by the staker's own call."""
        if self.key != self.account:
            raise UsageError(f"These settings are an operator's for {self.account}; stakes move with that account's own key.")

    def require_wallet(self, amount: int) -> None:
        """Raises InsufficientFunds, before anything is sent, when the wallet has less tokens."""
        held = CreatorChain(self.rpc, self.contracts.book).ledger(self.key).wallet
        if held < amount:
            raise InsufficientFunds(
                f"The wallet {self.key} has {self.token.show(held)}, {self.token.show(amount)} are needed.",
                hint="Send tokens to the account, or `lilypad withdraw` what is free in its ledger balance.",
                has=held, needed=amount,
            )  # fmt: skip

    def stake_in(self, pool: PoolTerms) -> PoolStake:
        """Raises ChainUnreachable, RpcError."""
        staking, head = self.contracts[STAKING], read_moment(self.rpc)
        calls = [
            staking.prepare("stakeOf", pool.id, self.account), staking.prepare("pendingOf", pool.id),
            staking.prepare("weightOf", pool.id, self.account), staking.prepare("unbondingTime"),
        ]  # fmt: skip
        answers = call_many(self.rpc, calls, head)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        stake, pending, weight, unbonding = answers
        found = Stake(*map(int, stake), frozen=bool(pending[0]), weight=int(weight[1]))
        return PoolStake(pool, found, int(unbonding), head.timestamp)

    # ---- from the agent's own database

    @contextmanager
    def _database(self) -> Iterator[Database]:
        path = self.settings.data / "agent.sqlite"
        if not path.exists():
            raise ConfigurationError(f"There is no mediator in {self.settings.data}.", hint="Name its data folder with `data`.")
        database = Database.open(path)
        try:
            yield database
        finally:
            database.close()

    def seats(self, *, all_: bool = False) -> list[Seat]:
        """Our seats in disputes that run (`all_`: in all that the agent has seen), as the chain has them now."""
        with self._database() as database:
            events = list(cursor_of(database, self.rpc, self.contracts).events())
            store = MediatorStore(database)
            votes = {(vote.deal_id, vote.round): vote for vote in store.votes()}
        found: list[Seat] = []
        mediation = self.contracts[MEDIATION].address
        deals = dict.fromkeys(DealId(bytes(e.args["dealId"])) for e in events if e.address == mediation and "dealId" in e.args)
        for deal_id in deals:
            ours = [e for e in events if e.address == mediation and e.args.get("dealId") == deal_id]
            for delivery in (True, False):
                facts = facts_of(ours, delivery=delivery)
                if not any(self.account in item.seating.accounts for item in facts.drawn) or (facts.ended and not all_):
                    continue
                dispute = look(self.contracts[MEDIATION], {deal_id: (facts, delivery)}).get(deal_id)
                if dispute is not None:
                    found += self._seats_of(dispute, votes)
        return found

    def _seats_of(self, dispute: Dispute, votes: dict[tuple[DealId, int], StoredVote]) -> Iterator[Seat]:
        for item in dispute.facts.drawn:
            for seat, account in enumerate(item.seating.accounts):
                if account != self.account:
                    continue
                standing = item.number == dispute.round and not dispute.facts.ended
                revealed = item.votes.get(seat)
                state = SeatState.COMMITTED if seat in item.committed else SeatState.SILENT
                if revealed is not None:
                    state = revealed.state
                vote = votes.get((dispute.deal_id, item.number))
                yield Seat(
                    deal_id=dispute.deal_id, round=item.number, seat=seat, state=state,
                    phase=dispute.facts.ended or dispute.phase.name.lower(), deadline=int(dispute.deadline) if standing else 0,
                    vote=None if vote is None else vote.vote, why="" if vote is None else vote.why, standing=standing,
                )  # fmt: skip

    def running_round(self, deal_id: DealId) -> tuple[int, bool]:
        """Number of the deal's running round, and whether it is about delivery. Raises NoSuchRound."""
        word = int(self.contracts[MEDIATION].call("disputeStateOf", deal_id)[0])
        if word == 0 or (word & 7) + 1 == 8:
            raise NoSuchRound(f"No dispute about the deal {hex_of(deal_id)} runs.", subject=hex_of(deal_id))
        number = word >> 3 & 7
        return number, is_about_delivery(number)

    def appeal_of(self, deal_id: DealId) -> tuple[int, int]:
        """The round that an appeal would be against, and what the next one costs, smallest units. Raises NoSuchRound."""
        number, _ = self.running_round(deal_id)
        following = next_round(number)
        if following is None:
            raise NoSuchRound(f"Round {number} is the last one.", subject=hex_of(deal_id))
        with self._database() as database:
            rows = database.query("SELECT record FROM deal WHERE id = ?", (deal_id,))
        if not rows:
            raise NoSuchRound(f"The mediator has not seen the deal {hex_of(deal_id)}.", subject=hex_of(deal_id))
        record = bytes(rows[0]["record"])
        deal = Deal.from_words([record[at : at + 32] for at in range(0, len(record), 32)])
        return number, int(appeal_fee(deal, following))

    # ---- recomputing draws

    def draws(self, deal_id: DealId) -> list[CheckedDraw]:
        """Every draw of the deal's disputes, recomputed from all events of its pool, read anew from the chain."""
        database = Database.open(None)
        try:
            cursor = cursor_of(database, self.rpc, self.contracts)
            while not cursor.advance().caught_up:
                pass
            return check_draws(self.contracts, cursor, deal_id)
        finally:
            database.close()

    # ---- doing

    def hand_over(self, order: Order, timeout_s: float = MINED_S) -> dict[str, Any]:
        """Gives an order to the running mediator. Raises OrderRefused."""
        return hand_over(self.settings.data, order, timeout_s)

    def carry_out(self, order: Order, timeout_s: float = MINED_S) -> dict[str, Any]:
        """Hands the order to the running mediator, or sends its transactions itself where none runs.

        Raises OrderRefused, and what sending raises (ContractReverted, InsufficientFunds, TransactionTimeout).
        """
        try:
            context = AgentContext.open(self.settings)
        except AlreadyRunning:
            return hand_over(self.settings.data, order, timeout_s)
        with context:
            pool = self.settings.pool(order.pool)
            assert pool is not None
            mark, hashes = secrets.token_hex(8), []
            for name, contract, data in steps_of(context, order, pool, self.account):
                key = f"order:{mark}:{name}"
                context.outbox.submit(key, contract.address, data)
                hashes.append(hex_of(context.outbox.wait(key, timeout_s).transaction_hash))
            return {"transactions": hashes}


@contextmanager
def open_office(settings: MediatorSettings) -> Iterator[Office]:
    """Raises NoMediation for a deployment without pools, ConfigurationError kinds, ChainUnreachable."""
    book = AddressBook.load(settings.address_book)
    for name in (MEDIATION, STAKING):
        if name not in book.contracts:
            raise NoMediation(name)
    rpc = Rpc(RpcConfig(settings.rpc, book.chain_id))
    try:
        yield Office(settings, rpc, Contracts(book, rpc))
    finally:
        rpc.close()


def as_json(seats: Sequence[Seat]) -> list[dict[str, Any]]:
    """Seats for `--json`."""
    return [
        {
            "deal": hex_of(item.deal_id), "round": item.round, "seat": item.seat, "state": item.state.name,
            "phase": item.phase, "deadline": item.deadline, "vote": None if item.vote is None else name_of(item.vote),
            "decidedBy": item.why or None, "running": item.standing,
        }
        for item in seats
    ]  # fmt: skip
