"""Views of a mediator from few words, for tests of its decisions."""

from __future__ import annotations

from typing import Any

from lilypad_agents.agents.mediator.settings import MediatorConfig
from lilypad_agents.agents.mediator.view import DisputeView, MediatorView, SeatView, Stage, Work
from lilypad_agents.agents.provider.capacity import Need
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.ids import ZERO, Address, DealId, checksummed
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.mediation import Phase, SeatState
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Period, Seconds, Timestamp
from tests.unit.agents.provider.provider_views import deal as plain_deal

TOKEN = 10**18
NOW = 10_000
LIMIT = NOW + 500
LAST_CALL = LIMIT - 60
DIGEST, OTHER = b"\x0d" * 32, b"\x0e" * 32
US = checksummed("0x" + "5a" * 20)
STRATEGY = checksummed("0x" + "57" * 20)
POOL = PoolTerms(STRATEGY, checksummed("0x" + "70" * 20), 10**17, 100 * TOKEN, 10 * TOKEN, ZERO, 100, 50, 30, ZERO)  # type: ignore[arg-type]
CONFIG = MediatorConfig(pools=(POOL,))


def deal(**changes: Any) -> Deal:
    usual = {"pool": POOL.id, "token": POOL.token, "strategy": STRATEGY, "audit_bps": 800, "seat_fee": TOKEN * 5 // 4, "seat_floor": TOKEN // 10}
    return plain_deal(**(usual | changes))


def dispute(phase: Phase = Phase.COMMIT, **changes: Any) -> DisputeView:
    """A challenge in round 1 whose phase ends 40 s from now, with one seat of ours unless told otherwise."""
    state = DealState(Status.IN_MEDIATION, DisputeKind.CHALLENGE, False, Timestamp(LIMIT), Period(5), 1)
    usual: dict[str, Any] = {
        "id": DealId(b"\x01" * 32), "deal": deal(), "state": state, "pool": POOL, "phase": phase, "round": 1,
        "deadline": Timestamp(NOW + 40), "last_call": Timestamp(LAST_CALL), "seats": (SeatView(0, SeatState.SILENT),),
        "opened": bytes(32), "since": Timestamp(NOW), "turn": Seconds(0),
    }  # fmt: skip
    return DisputeView(**(usual | changes))


def view(*disputes: DisputeView, time: int = NOW, **changes: Any) -> MediatorView:
    usual: dict[str, Any] = {
        "time": Timestamp(time), "account": Address(US), "disputes": disputes, "free_slots": 2, "free": Need(4_000, 4_096, 0),
    }  # fmt: skip
    return MediatorView(**(usual | changes))


def known(vote: bytes) -> Work:
    """A re-run that has ended."""
    return Work(Stage.DONE, word=vote)
