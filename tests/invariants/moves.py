"""What may happen next in a market: one move for a hypothesis machine and for random walks alike."""

from __future__ import annotations

from lilypad_agents.protocol.lifecycle import Status
from tests.invariants.market import COIN, PEOPLE, Market
from tests.support.deal_model import VERDICTS

# What a deal may do next, by its state; in capitals: what the world does to it.
NEXT: dict[Status, tuple[str, ...]] = {
    Status.AGREED: ("submitResult",) * 16 + ("submitAndSettle",) * 2 + ("decline", "decline", "timeoutSubmit", "close", "LATE", "WAIT"),
    Status.RESULTS_SUBMITTED: (
        "SPARE", "DRAW", "DRAW", "DRAW", "LOSE", "LATE", "WAIT", "settle", "settle accepted", "settle accepted",
        "settle waived", "challenge", "challenge", "challengeDelivery", "challengeDelivery", "audit", "timeoutReveal",
        "timeoutMediation", "close",
    ),
    Status.IN_MEDIATION: (*VERDICTS, *VERDICTS, *VERDICTS, "timeoutMediation", "LATE"),
}  # fmt: skip
_DRAWN = ("audit",) * 12 + ("settle accepted", "challenge", "challengeDelivery", "timeoutMediation", "close", "LATE", "WAIT")
ANY = sorted({call for calls in NEXT.values() for call in calls if not call.isupper()} | {"repayAdvance"})
_ALLOWED = {
    "submitResult": "provider", "submitAndSettle": "provider", "decline": "provider", "challengeDelivery": "creator",
    "settle": "creator",
}  # fmt: skip


def found_market(market: Market) -> None:
    """Money for everybody, small funds, and a deal in each pool."""
    for name in PEOPLE:
        market.deposit(name, name, 0, 400 * COIN)
    market.deposit("ada", "ada", 1, 100 * COIN)
    market.deposit("dan", "dan", 1, 400 * COIN)
    market.deposit("keeper", "keeper", 0, 300 * COIN)
    market.deposit("keeper", "keeper", 1, 100 * COIN)
    for pool, amount in ((0, 15 * COIN), (1, 40 * COIN), (2, 16 * COIN)):
        market.donate("keeper", pool, amount)
    for pool, creator, provider in ((0, "ada", "ben"), (0, "ben", "cleo"), (1, "cleo", "dan"), (2, "ada", "dan"), (3, "eve", "ada")):
        blank = market.resource(provider, pool, unit_price=COIN // 100)
        market.open([market.pair(creator, blank)], batch=False)


def go_on(market: Market, which: int, choice: int, share: int, advance: int) -> None:
    """A step that the deal's state knows, by somebody who may take it; or something that the world does to it."""
    entry = market.entries[which % len(market.entries)]
    drawn = entry.model.status == Status.RESULTS_SUBMITTED and entry.model.lottery.draws
    calls = _DRAWN if drawn else NEXT.get(entry.model.status, ("repayAdvance",))
    call = calls[choice % len(calls)]
    if call in ("SPARE", "DRAW"):
        return market.know_seed(which, drawn=call == "DRAW")
    if call == "LOSE":
        return market.lose_seed(which)
    if call in ("LATE", "WAIT"):
        return market.wait_for(which, choice // 3, 1 if call == "LATE" else 0)
    actor = _ALLOWED.get(call, "keeper")
    if call in VERDICTS:
        actor = "honest" if entry.deal.strategy == market.site.strategies[0].address else "greedy"
    return market.step(which, call, actor, share=share, advance=advance)
