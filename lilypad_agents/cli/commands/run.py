"""`lilypad run`: one job from its words to its verified result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.jobspec import JobWords, job_options, request_of
from lilypad_agents.cli.options import PATH, connection_options, open_creator
from lilypad_agents.cli.output import Interrupted, Output
from lilypad_agents.cli.settings import Choice

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator, Prepared
    from lilypad_agents.agents.creator.journal import Job
    from lilypad_agents.agents.creator.outcome import Outcome

_SETTLE_S = 3.0  # how long a job is watched for its settlement before the command ends
EXAMPLES = """\b
Examples:
  lilypad run cowsay:v0.0.1 -i Message="moo"
  lilypad run wordcount:v0.0.1 --inputs-path ./texts --max-price 2
  lilypad run primes:v0.0.1 -i Limit=1000000 --wait final --json
  lilypad run ./modules/cowsay --local -i Message="moo"     (on this machine, free)
\b
Ctrl-C ends the command, not the job: it prints how to resume. Repeating the
command carries the same job on; --new orders another one.
Exit code 23: the job itself ended non-zero; its result is verified and paid.
"""


@click.command(cls=LilypadCommand, events=True, epilog=EXAMPLES)
@job_options
@click.option("-o", "--output", "folder", type=PATH, metavar="DIR", help="Where results go: DIR/<deal>/. Default: ./results")
@click.option("--wait", type=click.Choice(["verified", "final"]), default="verified", help="Until the result is verified, or the deal has ended.")
@click.option("--timeout", type=click.FloatRange(0), metavar="S", help="Stop waiting after S seconds; the job goes on.")
@click.option("--detach", is_flag=True, help="Hand the offer over and leave; `lilypad job wait` later.")
@click.option("--quote", "only_quote", is_flag=True, help="Show the price and stop.")
@click.option("--dry-run", is_flag=True, help="As --quote: check everything, sign nothing.")
@click.option("--deposit", is_flag=True, help="Move what is missing from your wallet to your ledger balance first.")
@click.option("--verify", is_flag=True, help="Run the job here as well; agree only to the same digest, then waive.")
@click.option("--no-accept", is_flag=True, help="Take delivery without agreeing; `lilypad job accept` later.")
@click.option("--new", "fresh", is_flag=True, help="Order a new job even if an equal one has not ended.")
@click.option("--local", is_flag=True, help="Run on this machine instead: no network, no money.")
@connection_options
def run(out: Output, choice: Choice, words: JobWords, local: bool, **options: Any) -> None:
    """Run MODULE on somebody else's computer: quote, sign, wait, verify every block, write ./results/<deal>/."""
    if local:
        from lilypad_agents.cli.local import run_local

        run_local(out, choice, words, options["folder"])
        return
    began = time.monotonic()
    with open_creator(choice) as creator:
        _run(out, creator, words, options, began)


def _run(out: Output, creator: Creator, words: JobWords, options: dict[str, Any], began: float) -> None:
    from lilypad_agents.cli.commands.quote import show_quote

    module, request = request_of(creator, out, words)
    prepared = creator.prepare(request, module)
    if options["only_quote"] or options["dry_run"]:
        show_quote(out, creator, prepared)
        return
    job = None if options["fresh"] else creator.unfinished(prepared)
    if job is None:
        job = _order(out, creator, prepared, options)
    elif out.for_people:
        out.note(f"An equal job has not ended; carrying on {job.name}. (--new orders another one.)")
    finish(out, creator, job, options, began)


def _order(out: Output, creator: Creator, prepared: Prepared, options: dict[str, Any]) -> Job:
    """Shows the price and signs. A job that nobody could take now is refused, unless it was asked to wait for somebody."""
    from lilypad_agents.cli.screens import module_lines, pool_line, price_lines

    waits = options["detach"] or prepared.request.wishes.match_seconds is not None
    price = creator.check_price(prepared, waits=waits)
    if out.for_people:
        quote, token = prepared.quote, creator.session.token
        pool = f"pool      {pool_line(quote.is_verified, quote.offer.pool)}"
        for line in [*module_lines(prepared.module), *price_lines(quote, token), pool]:
            out.note(line)
    return creator.start(prepared, price, folder=options["folder"], deposit=options["deposit"])


def finish(out: Output, creator: Creator, job: Job, options: dict[str, Any], began: float) -> None:
    """Carries a job on as far as asked, and ends the command with its outcome. Ctrl-C says how to go on."""
    from lilypad_agents.agents.creator.decide import Policy
    from lilypad_agents.agents.creator.outcome import as_json
    from lilypad_agents.cli.screens import Progress, show_job_output, show_outcome

    policy = Policy(
        rerun=options.get("verify", False), accept=not options.get("no_accept", False), insist=options.get("insist", False)
    )
    progress = Progress(out, lambda: creator.session.token, began)
    runner = creator.runner(job, policy=policy, listen=progress)
    try:
        if options.get("detach"):
            runner.step()
            _detached(out, runner.job)
            return
        outcome = runner.wait(options.get("wait", "verified"), seconds=options.get("timeout"))
        if out.for_people and outcome.delivered is not None:
            show_job_output(out, outcome.delivered)
            outcome = _watch_settlement(runner, outcome)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted; the job goes on as {runner.job.name}.",
            hint=f"Carry on with: lilypad job wait {runner.job.name}",
            job=runner.job.id,
            deal=runner.job.deal_text or None,
        ) from None
    token = creator.session.token
    out.finish(
        as_json(outcome, token), lambda: show_outcome(out, outcome, token), exit_code=outcome.exit_code, error=outcome.error
    )


def _watch_settlement(runner: Any, outcome: Outcome) -> Outcome:
    """A verified job is settled by its provider within moments, as a rule; a person may want to see the payment.

    Where the lottery has to speak first that takes longer, so nobody waits for it unasked.
    """
    from lilypad_agents.agents.creator.errors import JobUnfinished
    from lilypad_agents.errors import ChainUnreachable

    waits_for_lottery = outcome.job.pool.is_verified and outcome.job.agreed == "acceptance"
    if outcome.error is not None or outcome.is_final or not outcome.job.agreed or waits_for_lottery:
        return outcome
    try:
        found: Outcome = runner.wait("final", seconds=_SETTLE_S)
        return found
    except (JobUnfinished, ChainUnreachable):
        return outcome


def _detached(out: Output, job: Job) -> None:
    from lilypad_agents.cli.screens import pool_line

    def show() -> None:
        out.print(job.name)
        out.note(f"The offer is out. Later: lilypad job wait {job.name}")
        out.note(pool_line(job.pool.is_verified, job.pool.id))

    out.finish({"job": job.id, "deal": job.deal_text or None, "state": str(job.stage), "module": job.label}, show)

