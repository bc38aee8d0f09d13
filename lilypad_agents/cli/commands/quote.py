"""`lilypad quote`: what a job would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.jobspec import JobWords, job_options, request_of
from lilypad_agents.cli.options import with_creator
from lilypad_agents.cli.output import Output

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator, Prepared

EXAMPLES = """\b
Examples:
  lilypad quote cowsay:v0.0.1
  lilypad quote primes:v0.0.1 -i Limit=1000000 --json
"""


@click.command(cls=LilypadCommand, epilog=EXAMPLES)
@job_options
@with_creator
def quote(out: Output, creator: Creator, words: JobWords) -> None:
    """Show each part of the price of MODULE, who could run it, and what is at stake. Signs and sends nothing."""
    module, request = request_of(creator, out, words)
    show_quote(out, creator, creator.prepare(request, module))


def show_quote(out: Output, creator: Creator, prepared: Prepared) -> None:
    """The quote as the command's result; a missing match ends with its own error."""
    from lilypad_agents.agents.creator.quote import as_json
    from lilypad_agents.cli.screens import ending_table, module_lines, quote_lines

    token = creator.session.token

    def show() -> None:
        for line in [*module_lines(prepared.module), *quote_lines(prepared.quote, token)]:
            out.print(line)
        if prepared.quote.best is not None:
            out.print("")
            out.print(ending_table(prepared.quote, token))

    if prepared.quote.best is None:
        if out.for_people:
            show()
        raise creator.no_offers(prepared)
    data = {"module": prepared.module.full_name, "version": "0x" + prepared.module.version_id.hex()}
    out.finish({**data, "foundBy": prepared.module.found_by, **as_json(prepared.quote, token)}, show)
