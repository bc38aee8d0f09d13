"""Literal views for tests of pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lilypad_agents.agents.provider.capacity import Machine, Need
from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.view import DealView, ProviderView, Stage, Work
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, DealId
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.offers import Resources
from lilypad_agents.protocol.parameters import Parameters

PROVIDER = Address("0x00000000000000000000000000000000000000A1")
CREATOR = Address("0x00000000000000000000000000000000000000b2")
PUBLISHER = Address("0x00000000000000000000000000000000000000C3")
TOKEN_ACCOUNT = Address("0x00000000000000000000000000000000000000D4")
STRATEGY = Address("0x00000000000000000000000000000000000000E5")
COIN = 10**18
OPENED = 1_000  # unix seconds
SUBMIT_WINDOW, JUDGE_WINDOW = 100, 50
SUBMIT_END = OPENED + SUBMIT_WINDOW  # 1100
DECLINE_END = OPENED + SUBMIT_WINDOW // 4  # 1025
DECLINE_BY = OPENED + 20  # 80 % of the quarter
JUDGE_END = 1_200
REVEAL_END = JUDGE_END + 30
AUDIT_END = JUDGE_END + 600
MEDIATION_END = 2_000
COMMITMENT = 77
CONFIG = ProviderConfig()
PARAMETERS = Parameters(NOBODY, 100, 5, 10_000, 5, 80, 30, 600)
MACHINE = Machine(
    Resources(cpu_milli=4_000, ram_mib=4_096, disk_mib=100),
    slots=2,
    backlog=10,
    classes=frozenset({"x86-64-v3", "wasm"}),
    engines=frozenset({"wasm"}),
    isa="x86-64-v3",
)


def deal(**changes: Any) -> Deal:
    found = Deal(
        creator=CREATOR, provider=PROVIDER, solver=NOBODY, publisher=PUBLISHER, royalty_to=PUBLISHER, strategy=NOBODY,
        token=TOKEN_ACCOUNT, module=b"\x01" * 32, inputs=b"\x02" * 32, pool=ZERO, price=COIN, unit_price=0, max_units=0,
        collateral=2 * COIN, seat_fee=0, seat_floor=0, submit_window=SUBMIT_WINDOW, judge_window=JUDGE_WINDOW, audit_bps=0,
        royalty_bps=0, solver_fee_bps=0, job_offer_hash=b"\x03" * 32, resource_offer_hash=b"\x04" * 32,
    )  # fmt: skip
    return replace(found, **changes)


_DEADLINES = {
    Status.AGREED: SUBMIT_END,
    Status.RESULTS_SUBMITTED: JUDGE_END,
    Status.IN_MEDIATION: MEDIATION_END,
}


def state(status: Status, **changes: Any) -> DealState:
    posted = status in (Status.RESULTS_SUBMITTED, Status.IN_MEDIATION)
    kind = DisputeKind.AUDIT if status is Status.IN_MEDIATION else DisputeKind.NONE
    found = DealState(status, kind, False, _DEADLINES.get(status, 900), 5 if posted else 0, COMMITMENT if posted else 0)
    return replace(found, **changes)


def view(status: Status, stage: Stage = Stage.NEW, *, number: int = 1, work: Any = None, **changes: Any) -> DealView:
    """One deal; `work` holds fields of Work beside the stage."""
    values = {"stage": stage} | ({"commitment": COMMITMENT} if stage is Stage.DONE else {}) | (work or {})
    found = DealView(DealId(number.to_bytes(32, "big")), deal(), state(status), Work(**values))
    return replace(found, **changes)


def provider(time: int, *deals: DealView, **changes: Any) -> ProviderView:
    found = ProviderView(
        time=time, deals=tuple(deals), parameters=PARAMETERS, slots=2, free_slots=2, free=Need(4_000, 4_096, 0)
    )
    return replace(found, **changes)
