"""What a provider does about a dispute, as a pure function: open, serve, run again, appeal, and move things on.

Its interest, by which every rule here is chosen: a verdict soon when it is right, no step that hastens one against it,
and an appeal only while its own re-run says that it is right and the data is out. Anyone may take the strategy's steps;
mediators are paid for it, so ours wait a while. `advance` is never called: time counts without it.
Sources: docs/protocol.md sections 5.4, 6.2 and 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.intents import Intent, intent
from lilypad_agents.agents.provider.view import Action, DealView, DisputeView, ProviderView, Stage
from lilypad_agents.protocol.deal import Deadlines
from lilypad_agents.protocol.dispute import AGAINST_PROVIDER, Phase, appeal_fee, next_round
from lilypad_agents.protocol.lifecycle import Verdict
from lilypad_agents.protocol.units import Timestamp

AGAINST_US = (Verdict.WRONG, Verdict.NOT_DELIVERED)
_FIRST_STEP = {Phase.NONE: Action.QUEUE, Phase.DUE: Action.QUEUE, Phase.QUEUED: Action.DRAW}


def audit(deal: DealView, ends: Deadlines, config: ProviderConfig) -> Iterator[Intent]:
    """A drawn deal that nobody audits ends without payment for anybody, so its provider calls the audit itself."""
    yield from _step(Action.AUDIT, deal, ends.audit, config)


def answer(deal: DealView, view: ProviderView, ends: Deadlines, config: ProviderConfig) -> Iterator[Intent]:
    """All that the dispute of a deal asks for now."""
    dispute = deal.dispute
    if dispute is None:
        return  # a strategy that we do not know: the limit ends it
    if not deal.work.served and deal.work.commitment is not None and view.time >= deal.work.retry_at:
        yield from intent(Action.SERVE, deal, ends.mediation)
    if dispute.phase is Phase.OPEN and not dispute.opened and deal.work.commitment == deal.state.commitment:
        action = Action.NAME_DATA if dispute.delivery else Action.OPEN_RESULT
        yield from intent(action, deal, dispute.deadline)
    if _needs_rerun(deal, dispute) and view.time >= deal.work.retry_at:
        yield from intent(Action.RERUN, deal, dispute.deadline)
    yield from _appeal(deal, dispute, config)
    step = _FIRST_STEP.get(dispute.phase)
    if step is not None:
        yield from _step(step, deal, ends.mediation, config)
    if dispute.phase is Phase.EXECUTABLE and dispute.verdict not in AGAINST_US:
        yield from _step(Action.EXECUTE, deal, ends.mediation, config)


def take_back(deal: DealView, config: ProviderConfig) -> Iterator[Intent]:
    """What we paid for appeals returns when the deal ended without the strategy's verdict."""
    yield from _step(Action.UNWIND, deal, None, config)


def _step(action: Action, deal: DealView, deadline: Timestamp | None, config: ProviderConfig) -> Iterator[Intent]:
    """A step that anyone may take: once the chain has accepted it for a while and nobody took it."""
    since = deal.possible.get(action)
    if since is not None and since >= config.step_after_s:
        yield from intent(action, deal, deadline)


def _needs_rerun(deal: DealView, dispute: DisputeView) -> bool:
    """Whether our own result is in doubt, so that we have to know whether to stand by it."""
    if dispute.delivery or deal.work.reran is not None or deal.work.stage is not Stage.DONE:
        return False
    in_doubt = bool(AGAINST_PROVIDER.intersection(dispute.seats)) or dispute.verdict in AGAINST_US
    return in_doubt and dispute.phase in (Phase.REVEAL, Phase.APPEALABLE)


def _appeal(deal: DealView, dispute: DisputeView, config: ProviderConfig) -> Iterator[Intent]:
    """Pays for the next size against a verdict that we know to be wrong, as far as the budget reaches."""
    if dispute.phase is not Phase.APPEALABLE or dispute.verdict not in AGAINST_US:
        return
    if not (deal.work.served and (dispute.delivery or deal.work.reran)):
        return
    round_ = next_round(dispute.round)
    if round_ is None:
        return
    fee = appeal_fee(deal.deal, round_)
    if dispute.paid + fee > config.appeal_most:
        return
    if dispute.wallet < fee and dispute.wallet + dispute.free >= fee:
        yield from intent(Action.FUND_APPEAL, deal, dispute.deadline)
    if dispute.allowance < fee:
        yield from intent(Action.APPROVE_APPEAL, deal, dispute.deadline)
    if min(dispute.wallet, dispute.allowance) >= fee:
        yield from intent(Action.APPEAL, deal, dispute.deadline)



def weighs_appeal(dispute: DisputeView) -> bool:
    """Whether balances and allowance matter for this dispute now; they cost requests."""
    return dispute.phase is Phase.APPEALABLE and dispute.verdict in AGAINST_US
