"""Texts of the screens about jobs: quote, progress, outcome. Numbers always with their unit."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.delivery import Delivered
from lilypad_agents.agents.creator.modules import ResolvedModule
from lilypad_agents.agents.creator.outcome import Outcome, Payment
from lilypad_agents.agents.creator.progress import Moment
from lilypad_agents.agents.creator.quote import Quote, endings, time_bound, worst_loss
from lilypad_agents.cli.output import Output, table, time_text
from lilypad_agents.execution.display import printable
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, hex_of
from lilypad_agents.protocol.price import decline_cost, penalty

UNVERIFIED_LINE = "Unverified pool (pool 0): nobody re-runs the job, and silence pays the provider."
STATES = {
    "signed": "signed",
    "posted": "offered",
    "AGREED": "Agreed",
    "RESULTS_SUBMITTED": "ResultsSubmitted",
    "IN_MEDIATION": "InMediation",
    "ACCEPTED": "Accepted",
    "MEDIATION_ACCEPTED": "MediationAccepted",
    "MEDIATION_REJECTED": "MediationRejected",
    "NO_FAULT": "NoFault",
    "TIMED_OUT": "TimedOut",
    "DECLINED": "Declined",
    "CLOSED_BY_AGREEMENT": "ClosedByAgreement",
}


def pool_line(is_verified: bool, pool: bytes) -> str:
    """What every screen about a job says about checking."""
    return f"Verified pool {short(hex_of(pool))}." if is_verified else UNVERIFIED_LINE


def short(text: str, head: int = 10, tail: int = 4) -> str:
    """An id or account, shortened in the middle."""
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def state_name(state: str) -> str:
    return STATES.get(state, state)


def in_seconds(deadline: int | None, now: int) -> str:
    if deadline is None:
        return ""
    left = deadline - now
    return f"{left} s left" if left >= 0 else f"{-left} s ago"


# ---- quote


def module_lines(module: ResolvedModule) -> list[str]:
    manifest = module.manifest
    lines = [f"module    {manifest.name}:{manifest.version}  {printable(manifest.title or '')}".rstrip()]
    lines.append(f"          {module.full_name}")
    lines.append(f"          version {hex_of(module.version_id)}, found by {module.found_by}")
    if module.deprecated:
        lines.append(click.style("          deprecated by its publisher", fg="yellow"))
    return lines


def quote_lines(quote: Quote, token: Token) -> list[str]:
    """The price in its parts, what is at stake, and for how long."""
    job, best = quote.offer, quote.best
    lines = [f"pool      {pool_line(quote.is_verified, job.pool)}"]
    if best is None:
        told = "; ".join(f"{count}: {reason}" for reason, count in quote.refused.items()) or "there are no open offers"
        return [*lines, f"price     nobody offers to run this now ({printable(told)})"]
    most, figures = best.most, best.figures
    metered = f" + {token.show(figures.unit_price)} for each of at most {figures.max_units} units" if figures.max_units else ""
    parts = [
        ("provider", most.gross, f"{token.show(figures.price)}{metered}"),
        ("royalty", most.royalty, f"{job_rate(figures.royalty_bps)} of gross"),
        ("solver fee", most.solver_fee, f"{job_rate(figures.solver_fee_bps)} of gross"),
        ("protocol fee", most.protocol_fee, "to the audit fund" if quote.is_verified else "none in the Unverified pool"),
        ("premium", most.premium, "to the audit fund" if quote.is_verified else "none in the Unverified pool"),
        ("total", most.total, "locked now; what is not spent returns"),
    ]
    width = max(len(token.show(amount)) for _, amount, _ in parts)
    lines.append(f"provider  {best.offer.provider}, the cheapest of {len(quote.priced)} that could take it")
    lines += [f"{name if name != 'provider' else 'price':<14}{token.show(amount):>{width}}  {note}" for name, amount, note in parts]
    lines.append(
        f"bond      the provider locks {token.show(figures.collateral)}; late: it pays you {token.show(penalty(figures))}, "
        f"declined: {token.show(decline_cost(figures))}"
    )
    if quote.margin is not None:
        lines.append(f"audits    {quote.margin}")
    lines.append(
        f"time      result within {job.submit_window} s, {job.judge_window} s to judge it, ended for sure within {time_bound(quote)} s"
    )
    lines.append(f"at worst  you lose {token.show(worst_loss(quote))}" + ("" if quote.is_verified else " for a wrong result"))
    if quote.refused:
        told = "; ".join(f"{count}: {printable(reason)}" for reason, count in quote.refused.items())
        lines.append(f"passed by {told}")
    return lines


def ending_table(quote: Quote, token: Token) -> str:
    rows = [(ending.name, token.show(ending.to_creator)) for ending in endings(quote)]
    return table(("ending", "to you"), rows)


def job_rate(bps: int) -> str:
    return f"{bps / 100:g} %"


# ---- progress


class Progress:
    """Prints the moments of one job, each with the time since the command began."""

    def __init__(self, out: Output, token: Callable[[], Token], began: float) -> None:
        self._out = out
        self._token = token
        self._began = began

    def __call__(self, moment: Moment) -> None:
        event = {
            "event": moment.event,
            "id": moment.id,
            "state": state_name(moment.state),
            "deadline": None if moment.deadline is None else time_text(moment.deadline),
            "cost": None if moment.cost is None else self._token().decimal(moment.cost),
        }
        self._out.event(event, self._line(moment) if self._out.for_people or self._out.as_json else "")

    def _line(self, moment: Moment) -> str:
        text = getattr(self, f"_{moment.event.replace('-', '_')}", self._other)(moment)
        return f"{time.monotonic() - self._began:6.1f} s  {text}"

    def _state(self, moment: Moment) -> str:
        name, facts = state_name(moment.state), moment.facts
        record, now = facts.get("record"), facts.get("now", 0)
        words = [click.style(f"{name:<17}", bold=True)]
        if isinstance(record, Deal) and moment.state == "AGREED":
            words.append(f"deal {short(moment.id)} with {record.provider}, {self._money(moment)} locked")
        elif moment.state == "posted":
            words.append(f"offer {short(moment.id)}, at most {self._money(moment)}")
        elif moment.state == "RESULTS_SUBMITTED":
            words.append("commitment on chain, the data is on its way")
        left = in_seconds(moment.deadline, now)
        return " ".join([*words, f"({left})" if left else ""]).rstrip()

    def _verified(self, moment: Moment) -> str:
        delivered = moment.facts["delivered"]
        return (
            click.style(f"{'verified':<17}", fg="green", bold=True)
            + f" every block, the receipt, and the digest {short(hex_of(delivered.digest), 18, 4)}"
        )

    def _mismatch(self, moment: Moment) -> str:
        return click.style(f"{'mismatch':<17}", fg="red", bold=True) + " " + printable(moment.facts["error"].message)

    def _agreed(self, moment: Moment) -> str:
        return f"{'agreed':<17} your {moment.facts['kind']} is signed and with the provider"

    def _agreement_delayed(self, moment: Moment) -> str:
        return f"{'agreeing':<17} the solver did not take your signature yet: {printable(moment.facts['reason'])}"

    def _paid(self, moment: Moment) -> str:
        payment: Payment = moment.facts["payment"]
        return f"{'settled':<17} you paid {self._token().show(payment.paid)}, {self._token().show(payment.back)} came back"

    def _other(self, moment: Moment) -> str:
        return f"{moment.event:<17} {state_name(moment.state)}"

    def _money(self, moment: Moment) -> str:
        return "-" if moment.cost is None else self._token().show(moment.cost)


# ---- outcome


def payment_lines(payment: Payment, record: Deal, token: Token) -> list[str]:
    """Who got what, to the last unit."""
    names = {record.provider: "provider", record.solver: "solver", record.royalty_to: "royalty"}
    rows = [("you paid", token.show(payment.paid)), ("came back", token.show(payment.back))]
    for name, amount in payment.parts.items():
        label = next((f"{role} {short(account)}" for account, role in names.items() if account != NOBODY and account in name), name)
        rows.append((f"  to {label}" if amount > 0 and name != "you" else f"  {name}", token.show(amount)))
    width = max(len(amount) for _, amount in rows)
    return [f"{name:<28}{amount:>{width}}" for name, amount in rows]


def show_job_output(out: Output, delivered: Delivered) -> None:
    """The job's own words: its standard output and standard error on ours, made harmless for a terminal."""
    files = delivered.files
    if files.stdout:
        out.print(printable(files.stdout), nl=not files.stdout.endswith(b"\n"))
    if files.stderr:
        out.note(printable(files.stderr).rstrip("\n"))
    if files.exit_code:
        out.note(click.style(f"The job itself ended with exit code {files.exit_code} ({files.exit_class}).", fg="yellow"))


def show_outcome(out: Output, outcome: Outcome, token: Token) -> None:
    """Who was paid what, and where everything lies."""
    delivered = outcome.delivered
    if outcome.payment is not None and outcome.job.record is not None:
        for line in payment_lines(outcome.payment, outcome.job.record, token):
            out.note(line)
    if outcome.job.results:
        out.note(f"results   {outcome.job.results}")
        if delivered is not None:
            out.note(f"data id   {delivered.note.data_id}")
            out.note(f"digest    {hex_of(delivered.digest)}")
    out.note(pool_line(outcome.job.pool.is_verified, outcome.job.pool.id))
