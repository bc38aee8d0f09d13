"""Texts of the screens about jobs: quote, progress, outcome. Numbers always with their unit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

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
VERIFIED_LINE = "mediators re-run a share of the results, and any result that you challenge in time."
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
    return f"Verified pool {short(hex_of(pool))}: {VERIFIED_LINE}" if is_verified else UNVERIFIED_LINE


def short(text: str, head: int = 10, tail: int = 4) -> str:
    """An id or account, shortened in the middle."""
    if len(text) <= head + tail + 1:
        return text
    return f"{text[:head]}…{text[len(text) - tail :]}"


def state_name(state: str) -> str:
    return STATES.get(state, state)


def in_seconds(deadline: int | None, now: int) -> str:
    if deadline is None:
        return ""
    left = deadline - now
    return f"{left} s" if left >= 0 else f"{-left} s ago"


# ---- quote


def module_lines(module: ResolvedModule) -> list[str]:
    """Name, full name and version id, and who vouched for the name."""
    manifest = module.manifest
    lines = [f"module    {manifest.name}:{manifest.version}  {printable(manifest.title or '')}".rstrip()]
    lines.append(f"          {module.full_name}")
    lines.append(f"          version {hex_of(module.version_id)}")
    lines.append(f"          found by {module.found_by}")
    if module.deprecated:
        lines.append(click.style("          deprecated by its publisher: look for a newer version", fg="yellow"))
    return lines


def price_lines(quote: Quote, token: Token) -> list[str]:
    """The whole price in few lines, for the screen of a job that is about to be signed."""
    best = quote.best
    if best is None:
        return []
    most, figures = best.most, best.figures
    rows = [("price", most.gross, "to the provider" + _metered(quote, token))]
    rows += [("solver", most.solver_fee, f"{rate(figures.solver_fee_bps)} of the price")] if most.solver_fee else []
    rows += [("royalty", most.royalty, f"{rate(figures.royalty_bps)} of the price")] if most.royalty else []
    rows += [("fund", most.to_fund, "protocol fee and premium, for audits")] if most.to_fund else []
    rows.append(("total", most.total, "locked at the match; what is not spent comes back"))
    return [
        f"provider  {best.offer.provider}, the cheapest of {len(quote.priced)} that could take it",
        *_money_rows(rows, token),
    ]


def quote_lines(quote: Quote, token: Token) -> list[str]:
    """The price in all its parts, what is at stake, and for how long."""
    job, best = quote.offer, quote.best
    lines = [f"pool      {pool_line(quote.is_verified, job.pool)}"]
    if best is None:
        told = "; ".join(f"{count}: {reason}" for reason, count in quote.refused.items()) or "there are no open offers"
        return [*lines, f"price     nobody offers to run this now ({printable(told)})"]
    most, figures = best.most, best.figures
    fund = "to the audit fund" if quote.is_verified else "none in the Unverified pool"
    rows = [
        ("price", most.gross, "to the provider" + _metered(quote, token)),
        ("solver", most.solver_fee, f"{rate(figures.solver_fee_bps)} of the price"),
        ("royalty", most.royalty, f"{rate(figures.royalty_bps)} of the price"),
        ("protocol", most.protocol_fee, fund),
        ("premium", most.premium, fund),
        ("total", most.total, "locked at the match; what is not spent comes back"),
    ]
    lines.append(f"provider  {best.offer.provider}, the cheapest of {len(quote.priced)} that could take it")
    lines += [*_money_rows(rows, token), *_stakes(quote, token)]
    if quote.refused:
        told = "; ".join(f"{count}: {printable(reason)}" for reason, count in quote.refused.items())
        lines.append(f"passed by {told}")
    return lines


def _stakes(quote: Quote, token: Token) -> list[str]:
    """Bonds, gas, audits, time and the worst that can happen."""
    job, best = quote.offer, quote.best
    assert best is not None
    figures = best.figures
    lines = [
        f"bond      the provider locks {token.show(figures.collateral)}; late, it pays you {token.show(penalty(figures))}; "
        f"declining costs it {token.show(decline_cost(figures))}",
        "gas       none for you: you sign, solver and provider send. Deposits, cancels and claims of yours cost gas.",
    ]
    if quote.margin is not None:
        lines.append(f"audits    {quote.margin}")
    lines.append(
        f"time      a result within {job.submit_window} s, {job.judge_window} s to judge it; "
        f"ended for sure within {time_bound(quote)} s"
    )
    lines.append(f"at worst  you lose {token.show(worst_loss(quote))}" + ("" if quote.is_verified else " for a wrong result"))
    return lines


def _metered(quote: Quote, token: Token) -> str:
    best = quote.best
    if best is None or not (best.figures.max_units and best.figures.unit_price):
        return ""
    figures = best.figures
    return f": {token.show(figures.price)}, and {token.show(figures.unit_price)} for each of at most {figures.max_units} units"


def _money_rows(rows: Sequence[tuple[str, int, str]], token: Token) -> list[str]:
    width = max(len(token.show(amount)) for _, amount, _ in rows)
    return [f"{name:<10}{token.show(amount):<{width}}  {note}" for name, amount, note in rows]


def ending_table(quote: Quote, token: Token) -> str:
    rows = [(ending.name, token.show(ending.to_creator)) for ending in endings(quote)]
    return table(("ending", "to you"), rows)


def rate(bps: int) -> str:
    """Basis points as per cent."""
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
        facts = moment.facts
        record, left = facts.get("record"), in_seconds(moment.deadline, facts.get("now", 0))
        told = {
            "signed": "your offer is signed and noted",
            "posted": f"offer {short(moment.id)}, at most {self._money(moment)}, open for {left}",
            "RESULTS_SUBMITTED": f"the provider's commitment is on chain; {left} to judge it",
            "IN_MEDIATION": f"a dispute is open; {left}",
        }
        if isinstance(record, Deal) and moment.state == "AGREED":
            text = f"deal {short(moment.id)} with {record.provider}, {self._money(moment)} locked; result due in {left}"
        else:
            text = told.get(moment.state, "the deal has ended")
        return self._line_of(state_name(moment.state), text)

    @staticmethod
    def _line_of(name: str, text: str, colour: str | None = None) -> str:
        return f"{click.style(f'{name:<16}', bold=True, fg=colour)} {text}"

    def _verified(self, moment: Moment) -> str:
        digest = short(hex_of(moment.facts["delivered"].digest), 18)
        return self._line_of("verified", f"every block, the receipt's signature, and the digest {digest}", "green")

    def _lottery(self, moment: Moment) -> str:
        if moment.facts["drawn"]:
            return self._line_of("drawn", "the lottery drew this deal: a mediator runs the job again before anybody is paid", "yellow")
        return self._line_of("spared", "the lottery spared this deal; your agreement, or silence, pays the provider")

    def _dispute(self, moment: Moment) -> str:
        from lilypad_agents.cli.disputescreens import progress_text

        return self._line_of("dispute", progress_text(moment.facts["dispute"]), "yellow")

    def _mismatch(self, moment: Moment) -> str:
        return self._line_of("mismatch", printable(moment.facts["error"].message), "red")

    def _agreed(self, moment: Moment) -> str:
        return self._line_of("agreed", f"your {moment.facts['kind']} is signed and handed to the provider")

    def _agreement_delayed(self, moment: Moment) -> str:
        return self._line_of("agreeing", f"the solver did not take your signature yet: {printable(moment.facts['reason'])}")

    def _paid(self, moment: Moment) -> str:
        payment: Payment = moment.facts["payment"]
        paid, token = payment.paid, self._token()
        told = f"you paid {token.show(paid)}" if paid >= 0 else f"you got {token.show(-paid)} more than you locked"
        return self._line_of("settled", f"{told}, {token.show(payment.back)} came back")

    def _other(self, moment: Moment) -> str:
        return self._line_of(moment.event, state_name(moment.state))

    def _money(self, moment: Moment) -> str:
        return "-" if moment.cost is None else self._token().show(moment.cost)


# ---- outcome


def payment_lines(payment: Payment, record: Deal, token: Token) -> list[str]:
    """Who got what, to the last unit."""
    names = {record.provider: "provider", record.solver: "solver", record.royalty_to: "royalty"}
    rows = [("you paid", payment.paid), ("came back", payment.back)]
    for name, amount in payment.parts.items():
        account = next((account for account in names if account != NOBODY and account in name), None)
        rows.append((f"  to {names[account]} {account}" if account is not None else f"  {name}", amount))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {token.show(amount)}" for name, amount in rows]


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
    if delivered is not None:
        out.note(f"digest    {hex_of(delivered.digest)}")
        out.note(f"data id   {delivered.note.data_id}")
    if outcome.job.results:
        out.note(f"results   {outcome.job.results}{os.sep}")
    if outcome.job.agreed and not outcome.is_final and outcome.job.pool.is_verified:
        out.note(f"payment   once the lottery has spared the deal; to see it: lilypad job wait {outcome.job.name} --wait final")
    out.note(pool_line(outcome.job.pool.is_verified, outcome.job.pool.id))
