"""The words with which people describe a job, old ones included, and the request that they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lilypad_agents.cli.options import PATH
from lilypad_agents.cli.output import Output
from lilypad_agents.errors import UsageError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator
    from lilypad_agents.agents.creator.modules import ResolvedModule
    from lilypad_agents.agents.creator.request import JobRequest, Wishes

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class JobWords:
    """What was typed about a job."""

    module: str
    assignments: tuple[str, ...]
    inputs: Path | None
    inputs_path: Path | None
    files: tuple[str, ...]
    max_price: str | None
    provider: str | None
    max_units: int | None
    submit_window: int | None
    judge_window: int | None
    collateral: float | None
    pool: str | None
    checks: str | None
    match_seconds: int | None
    deprecated: bool


_OPTIONS = (
    click.argument("module"),
    click.option("-i", "--input", "assignments", multiple=True, metavar="K=V", help="An input; K=@FILE reads a file. Repeat."),
    click.option("--inputs", type=PATH, metavar="FILE", help="A JSON object of inputs."),
    click.option("--inputs-path", type=PATH, metavar="DIR", help="A folder with the module's input files."),
    click.option("--file", "files", multiple=True, metavar="NAME=PATH", help="One input file by the module's name for it."),
    click.option("--max-price", metavar="AMOUNT", help="The most that the job may cost, all fees included."),
    click.option("-t", "--target", "--provider", "provider", metavar="ADDRESS", help="This provider and no other."),
    click.option("--max-units", type=click.IntRange(0), metavar="N", help="The most metered units to pay for."),
    click.option("--submit-window", type=click.IntRange(1), metavar="S", help="Seconds for the provider's result."),
    click.option("--judge-window", type=click.IntRange(1), metavar="S", help="Seconds for you to judge it."),
    click.option("--collateral", type=click.FloatRange(0), metavar="X", help="Provider's bond, in times the value."),
    click.option("--pool", metavar="NAME", help="Pool of mediators that judges; `unverified`: nobody, silence pays the provider."),
    click.option("--checks", metavar="NAME", help="How often results are checked: standard, light, strict or every-time."),
    click.option("--match-seconds", type=click.IntRange(1), metavar="S", help="How long the offer waits for a provider."),
    click.option("--deprecated", is_flag=True, help="Also a version that its publisher deprecated."),
)


def job_options(function: F) -> F:
    """Adds MODULE and the options that describe a job, and gives the function `words: JobWords`."""

    @functools.wraps(function)
    def wrapped(**values: Any) -> Any:
        words = JobWords(**{name: values.pop(name) for name in JobWords.__dataclass_fields__})
        return function(words=words, **values)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def request_of(creator: Creator, out: Output, words: JobWords) -> tuple[ResolvedModule, JobRequest]:
    """The resolved module and the request; a module without a version is asked about, or refused where nobody can answer.

    Raises ModuleUnknown and its kin, InputsInvalid, UsageError, RequestInvalid.
    """
    from lilypad_agents.agents.creator.request import JobRequest, collect_files, parse_values

    module = creator.session.modules.resolve(words.module, newest=out.is_terminal)
    if out.is_terminal and ":" not in words.module and "@" not in words.module and not words.module.startswith(("0x", "baf")):
        click.confirm(f"{words.module} means {module.full_name} now. Run that?", err=True, abort=True)
    manifest = module.manifest
    values = parse_values(manifest, words.assignments, words.inputs)
    files = collect_files(manifest, words.inputs_path, words.files)
    return module, JobRequest(words.module, values, files, wishes_of(creator, words), words.deprecated)


def wishes_of(creator: Creator, words: JobWords) -> Wishes:
    from lilypad_agents.agents.creator.request import Wishes
    from lilypad_agents.protocol.ids import NOBODY

    price = None if words.max_price is None else creator.session.token.parse(words.max_price, "--max-price")
    return Wishes(
        max_price=price,
        max_units=words.max_units,
        submit_window=words.submit_window,
        judge_window=words.judge_window,
        collateral_bps=None if words.collateral is None else round(words.collateral * 10_000),
        pool=None if words.pool is None else creator.session.settings.pool_terms(words.pool),
        checks=None if words.checks is None else checks_of(words.checks),
        provider=NOBODY if words.provider is None else account_of(words.provider),
        match_seconds=words.match_seconds,
    )


def checks_of(text: str) -> str:
    """The name of a preset of audit rate and bond. Raises UsageError, which lists the names."""
    from lilypad_agents.agents.creator.settings import preset_of

    try:
        preset_of(text)
    except ValueError as error:
        raise UsageError(f"--checks: {error}.") from None
    return text


def account_of(text: str) -> Any:
    """A checksummed account. Raises UsageError for anything else."""
    from lilypad_agents.protocol.ids import checksummed

    try:
        found = checksummed(text)
    except ValueError:
        raise UsageError(f"{text!r} is no account: 0x and 40 hexadecimal digits.") from None
    if text != found and text[2:] not in (text[2:].lower(), text[2:].upper()):
        raise UsageError(f"{text!r} has a wrong checksum: is a digit mistyped? All lower case is taken as it is.")
    return found
