"""`lilypad job`: every command works from the chain and the journal, so also in another shell, or on another machine with the key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.commands.run import finish
from lilypad_agents.cli.options import PATH, with_creator
from lilypad_agents.cli.output import Output, table, time_text
from lilypad_agents.errors import LilypadError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator
    from lilypad_agents.agents.creator.journal import Job
    from lilypad_agents.agents.creator.status import JobStatus

_WAIT = (
    click.option("--wait", type=click.Choice(["verified", "final"]), default="verified", help="Until the result is verified, or the deal has ended."),
    click.option("--timeout", type=click.FloatRange(0), metavar="S", help="Stop waiting after S seconds; the job goes on."),
    click.option("--verify", is_flag=True, help="Run the job here as well; agree only to the same digest, then waive."),
)


@click.group()
def job() -> None:
    """List, show, resume, fetch, accept, challenge or cancel your jobs. ID is a deal id, an offer id, or its first digits."""


@job.command("list", cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job list\n  lilypad job list --state ACCEPTED --since 2026-01-01\n  lilypad job list --json")
@click.option("--state", metavar="STATE", help="Only jobs in this state, such as Agreed, Accepted or offered.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Only jobs made since then (UTC).")
@with_creator
def list_jobs(out: Output, creator: Creator, state: str | None, since: Any) -> None:
    """Show your jobs, those of other machines with the same key included."""
    from lilypad_agents.agents.creator.status import statuses
    from lilypad_agents.cli.screens import short, state_name

    creator.adopt_all()
    least = 0 if since is None else int(since.timestamp())
    found = [item for item in statuses(creator, creator.session.journal.list(since=least)) if _in_state(item, state)]
    token, named = creator.session.token, creator.session.settings.pool_name

    def show() -> None:
        rows = [
            (
                item.job.name[:18],
                item.job.label,
                state_name(item.state),
                time_text(item.job.created_at),
                "" if item.cost is None else token.show(item.cost),
                "pool 0 (Unverified)" if not item.job.pool.is_verified else named(item.job.pool.id) or short("0x" + item.job.pool.id.hex()),
            )
            for item in found
        ]
        out.print(table(("job", "module", "state", "made", "cost", "checking"), rows))

    out.finish({"jobs": [item.as_json(token) for item in found]}, show)


def _in_state(item: JobStatus, wanted: str | None) -> bool:
    from lilypad_agents.cli.screens import state_name

    plain = lambda text: text.lower().replace("_", "")  # noqa: E731 - one comparison, both ways of writing it
    return wanted is None or plain(wanted) in (plain(item.state), plain(state_name(item.state)))


@job.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job show 0x1a2b\n  lilypad job show 0x1a2b --json")
@click.argument("id_", metavar="ID")
@with_creator
def show(out: Output, creator: Creator, id_: str) -> None:
    """Show where a job stands, its dispute, who must act next and until when, and what each ending would pay you."""
    from lilypad_agents.agents.creator.status import status_with_dispute
    from lilypad_agents.cli.disputescreens import dispute_lines
    from lilypad_agents.cli.screens import pool_line, state_name

    item = status_with_dispute(creator, creator.find(id_))
    token = creator.session.token

    def human() -> None:
        data = item.as_json(token)
        lines = [("job", item.job.name), ("module", item.job.label), ("state", state_name(item.state))]
        lines += [("offer", item.job.id), ("provider", data["provider"] or "-"), ("made", time_text(item.job.created_at))]
        lines += [("next", item.next_step), ("cost", "-" if item.cost is None else token.show(item.cost))]
        if item.job.digest:
            lines += [("digest", "0x" + item.job.digest.hex()), ("data id", item.job.data_id), ("results", item.job.results)]
        if item.job.exit_code is not None:
            lines.append(("exit code", str(item.job.exit_code)))
        if item.job.why:
            lines.append(("why", item.job.why))
        lines.append(("pool", pool_line(item.job.pool.is_verified, item.job.pool.id)))
        for name, value in lines:
            out.print(f"{name:<10}{value}")
        if item.dispute is not None:
            out.print("")
            for line in dispute_lines(item.dispute, item.kind, item.begun_by, token):
                out.print(line)
        if item.endings:
            out.print("")
            out.print(table(("ending", "to you"), [(name, token.show(amount)) for name, amount in item.endings]))

    out.finish(item.as_json(token), human)


def _waiting(function: Any) -> Any:
    for option in reversed(_WAIT):
        function = option(function)
    return function


@job.command(cls=LilypadCommand, events=True, epilog="\b\nExamples:\n  lilypad job wait 0x1a2b\n  lilypad job wait 0x1a2b --wait final --timeout 60")
@click.argument("id_", metavar="ID")
@_waiting
@with_creator
def wait(out: Output, creator: Creator, id_: str, **options: Any) -> None:
    """Wait for a job and end as `lilypad run` would have: verify, write the results, agree."""
    finish(out, creator, creator.find(id_), options, time.monotonic())


@job.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job logs 0x1a2b\n  lilypad job logs 0x1a2b --stderr")
@click.argument("id_", metavar="ID")
@click.option("--stderr", "errors", is_flag=True, help="The job's standard error instead of its standard output.")
@with_creator
def logs(out: Output, creator: Creator, id_: str, errors: bool) -> None:
    """Print what a job wrote, made harmless for a terminal; the files keep the original bytes."""
    from lilypad_agents.execution.display import printable

    delivered = _delivered(creator, creator.find(id_))
    data = delivered.files.stderr if errors else delivered.files.stdout
    text = printable(data)
    out.finish({"stream": "stderr" if errors else "stdout", "text": text}, lambda: out.print(text, nl=not text.endswith("\n")))


@job.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job fetch 0x1a2b\n  lilypad job fetch 0x1a2b -o ./elsewhere")
@click.argument("id_", metavar="ID")
@click.option("-o", "--output", "folder", type=PATH, metavar="DIR", help="Write DIR/<deal>/ instead of ./results/<deal>/.")
@with_creator
def fetch(out: Output, creator: Creator, id_: str, folder: Path | None) -> None:
    """Download a result again and verify every block, the receipt and the digest. Agrees to nothing."""
    from lilypad_agents.cli.screens import pool_line

    found = creator.find(id_)
    delivered, path = creator.fetch(found, folder)
    data = {
        "deal": found.deal_text,
        "results": str(path),
        "dataId": str(delivered.note.data_id),
        "resultDigest": "0x" + delivered.digest.hex(),
        "exitCode": delivered.files.exit_code,
    }

    def show() -> None:
        out.print(str(path))
        out.note(f"Verified: digest {data['resultDigest']}, data id {data['dataId']}.")
        out.note(pool_line(found.pool.is_verified, found.pool.id))

    out.finish(data, show)


def _delivered(creator: Creator, found: Job) -> Any:
    from lilypad_agents.agents.creator.errors import JobUnfinished

    runner = creator.runner(found)
    delivered = runner.take_delivery()
    if delivered is None:
        raise JobUnfinished(f"The job {found.name} has no result yet.", job=found.id)
    return delivered


@job.command(cls=LilypadCommand, events=True, epilog="\b\nExamples:\n  lilypad job accept 0x1a2b\n  lilypad job accept 0x1a2b --verify")
@click.argument("id_", metavar="ID")
@_waiting
@with_creator
def accept(out: Output, creator: Creator, id_: str, **options: Any) -> None:
    """Verify a result and agree to it, so that it is settled at once instead of when the judge window ends."""
    finish(out, creator, creator.find(id_), options | {"insist": True}, time.monotonic())


@job.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job cancel 0x1a2b\n  lilypad job cancel 0x1a2b --yes")
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--offer-only", is_flag=True, help="Withdraw the offer from the solver without a transaction (it stays valid elsewhere).")
@with_creator
def cancel(out: Output, creator: Creator, id_: str, yes: bool, offer_only: bool) -> None:
    """Before a match: invalidate the offer for good. After: say what ending costs, and propose to close the deal."""
    from lilypad_agents.agents.creator.cancelling import Cancelling

    work = Cancelling(creator, creator.find(id_))
    plan = work.plan(offer_only=offer_only)
    if not yes:
        if not out.is_terminal:
            raise _ask(plan.text)
        click.confirm(f"{plan.text} Go on?", err=True, abort=True)
    done = work.carry_out(plan)
    out.finish(done.as_json(creator.session.token), lambda: out.print(done.text))


@job.command(
    cls=LilypadCommand,
    epilog='\b\nExamples:\n  lilypad job challenge 0x1a2b --why "the primes are wrong"\n  lilypad job challenge 0x1a2b --delivery --why "nothing arrives" --yes',
)
@click.argument("id_", metavar="ID")
@click.option("--why", required=True, metavar="TEXT", help="Your reason; noted with the job, for yourself.")
@click.option("--delivery", is_flag=True, help="Doubt that the result can be fetched, not that it is right; costs three of the pool's least seat fees, once.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def challenge(out: Output, creator: Creator, id_: str, why: str, delivery: bool, yes: bool) -> None:
    """Have a panel judge a result before the judge deadline. Says what it costs and what each outcome pays before it acts."""
    from lilypad_agents.agents.creator.challenging import Challenging
    from lilypad_agents.cli.disputescreens import challenge_lines

    work = Challenging(creator, creator.find(id_), delivery=delivery)
    plan, token = work.plan(), creator.session.token
    _agree(out, challenge_lines(plan, token), yes)
    done = work.carry_out(plan, why)

    def show() -> None:
        for line in challenge_lines(done.plan, token):
            out.print(line)
        out.print(f"Challenged. Follow it with: lilypad job wait {done.job.name} --wait final")

    out.finish(done.as_json(token), show)


@job.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad job appeal 0x1a2b\n  lilypad job appeal 0x1a2b --yes")
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def appeal(out: Output, creator: Creator, id_: str, yes: bool) -> None:
    """Pay for a larger panel while a finding can be appealed. Says what it costs and what may come of it before it acts."""
    from lilypad_agents.agents.creator.appealing import Appealing

    work = Appealing(creator, creator.find(id_))
    plan, token = work.plan(), creator.session.token
    _agree(out, plan.lines(token), yes)
    done = work.carry_out(plan)
    out.finish(done.as_json(token), lambda: out.print(f"Appealed. Follow it with: lilypad job wait {done.job.name} --wait final"))


def _agree(out: Output, lines: list[str], yes: bool) -> None:
    """Asks on a terminal; elsewhere raises UsageError unless `yes`."""
    if yes:
        return
    if not out.is_terminal:
        raise _ask(lines[0])
    for line in lines:
        out.note(line)
    click.confirm("Go on?", err=True, abort=True)


def _ask(text: str) -> LilypadError:
    from lilypad_agents.errors import UsageError

    return UsageError(f"{text} Say --yes where nobody can be asked.")


@job.command(cls=LilypadCommand, events=True, epilog="\b\nExamples:\n  lilypad job resume\n  lilypad job resume 0x1a2b --wait final")
@click.argument("id_", metavar="[ID]", required=False)
@_waiting
@with_creator
def resume(out: Output, creator: Creator, id_: str | None, **options: Any) -> None:
    """Carry on a job, or every unfinished one: post, wait, verify, agree, claim what is due."""
    if id_ is not None:
        finish(out, creator, creator.find(id_), options, time.monotonic())
        return
    creator.adopt_all()
    found = creator.session.journal.unfinished()
    rows = [_resume_one(out, creator, item, options) for item in reversed(found)]
    worst = max((int(row["exitCode"]) for row in rows), default=0)

    def show() -> None:
        out.print(table(("job", "module", "outcome"), [(row["job"], row["module"], row["outcome"]) for row in rows]) if rows else "No unfinished jobs.")

    out.finish({"jobs": rows}, show, exit_code=worst)


def _resume_one(out: Output, creator: Creator, item: Job, options: dict[str, Any]) -> dict[str, Any]:
    """One of many: its error is a line, so that the others go on."""
    from lilypad_agents.agents.creator.decide import Policy
    from lilypad_agents.cli.screens import Progress

    progress = Progress(out, lambda: creator.session.token, time.monotonic())
    try:
        runner = creator.runner(item, policy=Policy(rerun=options["verify"]), listen=progress)
        outcome = runner.wait(options["wait"], seconds=options["timeout"])
        error, code = outcome.error, outcome.exit_code
    except LilypadError as failure:
        error, code = failure, failure.exit_code
    told = "done" if error is None else f"{error.code}: {error.message}"
    return {"job": item.name, "module": item.label, "outcome": told, "exitCode": code}
