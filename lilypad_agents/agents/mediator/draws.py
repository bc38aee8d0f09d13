"""Recomputes a draw from what the chain shows, and says whether it was right: `lilypad mediator verify-draw`.

Everything comes from events of the pool up to the draw, the seed of its period, and `protocol/draw.py`, which shares no
code with the contract. Protocol 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.mediator.errors import DrawDiffers, NoSuchRound, SeedOutOfReach
from lilypad_agents.agents.runtime.context import Contracts, read_parameters
from lilypad_agents.agents.runtime.panels import STAKING
from lilypad_agents.agents.runtime.seeds import SeedStatus
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.logs import LogCursor
from lilypad_agents.protocol.draw import Draw, PoolTree, RoundDrawn, SeatReleased, WeightApplied, draw_round
from lilypad_agents.protocol.ids import NOBODY, Address, Bytes32, DealId, PoolId, hex_of
from lilypad_agents.protocol.units import Period


@dataclass(frozen=True)
class CheckedDraw:
    """One draw of a deal's dispute. `seats`: who the chain says was drawn; `draw`: what we make of seed and stakes.

    `stakers`, `weight`: of the tree before it, accounts and whole seat stakes. `block`: in which it was drawn.
    """

    round: int
    redraw: bool
    ticket: int
    period: Period
    seed: bytes
    name: bytes
    excluded: tuple[Address, ...]
    stakers: int
    weight: int
    block: int
    seats: tuple[Address, ...]
    draw: Draw

    @property
    def is_right(self) -> bool:
        return self.draw.accounts == self.seats

    def as_json(self) -> dict[str, Any]:
        return {
            "round": self.round,
            "redraw": self.redraw,
            "ticket": self.ticket,
            "period": self.period,
            "seed": hex_of(self.seed),
            "name": hex_of(self.name),
            "excluded": list(self.excluded),
            "stakers": self.stakers,
            "weight": self.weight,
            "block": self.block,
            "seats": list(self.seats),
            "recomputed": None if self.draw.accounts is None else list(self.draw.accounts),
            "right": self.is_right,
            "tries": [
                {
                    "seat": item.seat, "try": item.attempt, "point": item.point, "leaf": item.leaf, "account": item.account,
                    "weight": item.weight, "openSeats": item.open_seats, "outcome": item.outcome.value,
                }
                for item in self.draw.tries
            ],
        }  # fmt: skip


def check_draws(contracts: Contracts, cursor: LogCursor, deal_id: DealId) -> list[CheckedDraw]:
    """Every draw of the deal's disputes, oldest first. `cursor`: that of `panels.cursor_of`, read up to the head.

    Raises NoSuchRound when there was none, SeedOutOfReach when no endpoint shows the seed any more, ChainUnreachable.
    """
    events = list(cursor.events())
    asked = [e for e in events if e.name == "RoundQueued" and e.args.get("dealId") == deal_id]
    found = [_check(contracts, events, event) for event in asked]
    drawn = [item for item in found if item is not None]
    if not drawn:
        raise NoSuchRound(f"No seats were drawn for the deal {hex_of(deal_id)}.", subject=hex_of(deal_id))
    return drawn


def require_right(draws: Sequence[CheckedDraw]) -> None:
    """Raises DrawDiffers for the first draw that is not what seed and stakes give."""
    for item in draws:
        if not item.is_right:
            raise DrawDiffers(
                f"Round {item.round} (ticket {item.ticket}) is not what its seed and the stakes before it give.",
                round=item.round, found=list(item.seats), needed=list(item.draw.accounts or ()),
            )  # fmt: skip


def _check(contracts: Contracts, events: Sequence[DecodedEvent], asked: DecodedEvent) -> CheckedDraw | None:
    """The draw that answered a request for seats; None when it was not drawn (yet)."""
    pool, ticket = PoolId(bytes(asked.args["pool"])), int(asked.args["ticket"])
    staking = contracts[STAKING].address
    ours = [e for e in events if e.address == staking and e.args.get("pool") == pool]
    queued = next((e for e in ours if e.name == "RoundQueued" and int(e.args["ticket"]) == ticket), None)
    drawn = next((e for e in ours if e.name == "RoundDrawn" and int(e.args["ticket"]) == ticket), None)
    if queued is None or drawn is None:
        return None
    tree = PoolTree.replay(_pool_events(ours, drawn))
    period = Period(drawn.args["period"])
    seed = seed_of(contracts, period, drawn)
    excluded = tuple(Address(account) for account in queued.args["excluded"] if account != NOBODY)
    name = bytes(drawn.args["round"])
    return CheckedDraw(
        round=int(asked.args["round"]),
        redraw=bool(asked.args["redraw"]),
        ticket=ticket,
        period=period,
        seed=seed,
        name=name,
        excluded=excluded,
        stakers=len(tree.leaves),
        weight=tree.capacity,
        block=drawn.block_number,
        seats=tuple(Address(account) for account in drawn.args["seats"]),
        draw=draw_round(tree, Bytes32(seed), name, int(queued.args["seats"]), excluded),
    )


def _pool_events(events: Sequence[DecodedEvent], until: DecodedEvent) -> list[Any]:
    """What happened to the tree before a draw."""
    found: list[Any] = []
    for event in events:
        if (event.block_number, event.log_index) >= (until.block_number, until.log_index):
            break
        args = event.args
        if event.name == "WeightApplied":
            found.append(WeightApplied(Address(args["account"]), int(args["leaf"]), int(args["weight"])))
        elif event.name == "RoundDrawn":
            found.append(RoundDrawn(tuple(Address(account) for account in args["seats"])))
        elif event.name == "SeatReleased":
            found.append(SeatReleased(Address(args["account"])))
    return found


def seed_of(contracts: Contracts, period: Period, drawn: DecodedEvent) -> bytes:
    """The seed of a period: as the source tells now, else as it told in the block of the draw."""
    source = _randomness(contracts)
    for block in ("latest", drawn.block_hash):
        try:
            status, value = source.call("seed", period, block=block)[:2]
        except RpcError:
            continue
        if SeedStatus(status) is SeedStatus.KNOWN:
            return bytes(value)
    raise SeedOutOfReach(
        f"The seed of period {period} was not recorded, and this endpoint has no state of block {drawn.block_number}.",
        period=period,
    )


def _randomness(contracts: Contracts) -> Contract:
    address = read_parameters(contracts.resolver).randomness
    name = next(name for name, found in contracts.book.contracts.items() if found.address == address)
    return contracts[name]


