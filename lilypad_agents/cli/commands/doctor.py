"""`lilypad doctor`: everything that a job needs, checked in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import with_creator
from lilypad_agents.cli.output import Output
from lilypad_agents.execution.display import printable

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
EXAMPLES = """\b
Examples:
  lilypad doctor
  lilypad doctor --no-sandbox --json
"""


@click.command(cls=LilypadCommand, epilog=EXAMPLES)
@click.option("--sandbox/--no-sandbox", default=True, help="Also test on this machine that a job cannot get out (needed to provide).")
@with_creator
def doctor(out: Output, creator: Creator, sandbox: bool) -> None:
    """Check chain, contracts, clock, key, funds, solver, offers, lists, disk, engine and sandbox; name a fix for each failure."""
    from lilypad_agents.cli.checks import Verdict, run_checks

    found = []
    for check in run_checks(creator.session, sandbox=sandbox):
        found.append(check)
        if out.for_people:
            out.print(f"{click.style(f'{check.verdict:<5}', fg=_COLOURS[check.verdict])} {check.name:<12} {printable(check.detail)}")
            if check.fix and check.verdict is not Verdict.OK:
                out.print(f"{'':<18} -> {printable(check.fix)}")
    failed = [check.name for check in found if check.verdict is Verdict.FAIL]
    data = {
        "checks": [
            {"name": check.name, "verdict": str(check.verdict), "detail": check.detail, "fix": check.fix} for check in found
        ],
        "failed": failed,
    }
    told = f"{len(failed)} checks fail: {', '.join(failed)}." if failed else "All is well."
    out.finish(data, lambda: out.note(told), exit_code=10 if failed else 0)
