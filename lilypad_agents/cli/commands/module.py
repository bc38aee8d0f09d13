"""`lilypad module`: look at modules, run one on this machine, write, publish and be paid for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.commands.module_author import certify, import_module, lint, new, pack, test
from lilypad_agents.cli.commands.module_publish import claim, deprecate, earnings, fork, publish, search
from lilypad_agents.cli.jobspec import JobWords, job_options
from lilypad_agents.cli.options import PATH, connection_options, with_creator
from lilypad_agents.cli.output import Output, table
from lilypad_agents.cli.settings import Choice

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator


@click.group()
def module() -> None:
    """Look at modules, run them here, write your own, publish them and be paid."""


@module.command("list", cls=LilypadCommand, epilog="\b\nExample:\n  lilypad module list")
@with_creator
def list_modules(out: Output, creator: Creator) -> None:
    """Show the modules of the lists that your settings trust."""
    rows = [
        {
            "name": label,
            "version": "0x" + alias.terms.id.hex(),
            "publisher": alias.terms.publisher,
            "list": trusted.name,
            "note": alias.note,
        }
        for trusted in creator.session.lists
        for label, alias in sorted(trusted.modules.items())
    ]

    def show() -> None:
        cells = [(row["name"], row["list"], row["publisher"], row["version"], row["note"]) for row in rows]
        out.print(table(("name", "list", "publisher", "version id", "note"), cells))

    out.finish({"modules": rows}, show)


@module.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module show cowsay:v0.0.1\n  lilypad module show primes:v0.0.1 --json")
@click.argument("reference", metavar="MODULE")
@with_creator
def show(out: Output, creator: Creator, reference: str) -> None:
    """Show what a module is, what it takes, what it may use, and what it is paid by."""
    from lilypad_agents.cli.screens import module_lines
    from lilypad_agents.execution.display import printable

    found = creator.session.modules.resolve(reference, newest=True)
    manifest = found.manifest
    inputs = _inputs(manifest.inputs)
    lineage = _line(creator, bytes(found.version_id))
    vouching = [
        f"{trusted.name} as {label}"
        for trusted in creator.session.lists
        for label, alias in sorted(trusted.modules.items())
        if alias.terms.id == found.version_id
    ]

    def human() -> None:
        for line in module_lines(found):
            out.print(line)
        if manifest.description:
            out.print(f"          {printable(manifest.description)}")
        out.print(f"licence   {printable(manifest.licence.code)}")
        out.print(f"engine    {manifest.engine}, {'deterministic' if manifest.deterministic else 'not deterministic'}, compares {manifest.compare.policy}")
        limits, needs = manifest.limits, manifest.resources
        out.print(f"limits    {limits.wall_seconds} s, {limits.fuel} fuel, {limits.output_bytes} bytes of output; network {manifest.network}")
        out.print(f"needs     {needs.cpu_milli} milli-CPU, {needs.ram_mib} MiB RAM, {needs.disk_mib} MiB disk, {needs.gpu_count} GPU")
        metering = manifest.metering
        out.print(f"metering  {metering.kind}" + (f", one unit is {metering.per} of {metering.schedule}" if metering.kind != "none" else ""))
        out.print(f"royalty   {manifest.royalty_bps / 100:g} %")
        for place, item in enumerate(lineage):
            parent = f", gives its parent {item['parentShareBps'] / 100:g} %" if place + 1 < len(lineage) else ""
            out.print(f"{'line' if place == 0 else '':<10}{item['name']}{parent}, asks {item['forkShareBps'] / 100:g} % of its forks")
        for name in vouching:
            out.print(f"listed    {printable(name)}")
        if inputs:
            out.print(table(("input", "type", "default", "meaning"), inputs))
        for slot in manifest.files:
            out.print(f"file      {slot.name}  {'required' if slot.required else 'optional'}, at most {slot.max_bytes} bytes")

    data = {
        "name": found.full_name,
        "version": "0x" + found.version_id.hex(),
        "manifestCid": str(found.manifest_cid),
        "foundBy": found.found_by,
        "deprecated": found.deprecated,
        "line": lineage,
        "lists": vouching,
        "terms": found.terms.to_json(),
        "manifest": dict(manifest.document),
    }
    out.finish(data, human)


def _line(creator: Creator, version: bytes) -> list[dict[str, Any]]:
    """The version and its ancestors with their shares; empty for one that is not registered."""
    from lilypad_agents.agents.author.registry import ModuleRegistry

    registry = ModuleRegistry(creator.session.chain)
    if registry.record(version) is None:
        return []
    return [
        {
            "name": item.full_name,
            "version": "0x" + item.id.hex(),
            "parentShareBps": item.parent_share_bps,
            "forkShareBps": item.fork_share_bps,
        }
        for item in registry.line(version)
    ]


def _inputs(schema: Any) -> list[tuple[str, str, str, str]]:
    required = set(schema.get("required", ()))
    return [
        (
            name,
            str(value.get("type", "")),
            "(required)" if name in required else str(value.get("default", "")),
            str(value.get("description", "")),
        )
        for name, value in schema.get("properties", {}).items()
    ]


@module.command("run", cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module run ./modules/cowsay --local -i Message=moo\n  lilypad module run cowsay:v0.0.1 --local")
@job_options
@click.option("--local", is_flag=True, help="Run on this machine: no network, no money. (For a paid run: `lilypad run`.)")
@click.option("-o", "--output", "folder", type=PATH, metavar="DIR", help="Write the result here.")
@connection_options
def run_module(out: Output, choice: Choice, words: JobWords, local: bool, folder: Path | None) -> None:
    """Run a module on this machine and show the digest that a provider must get too."""
    from lilypad_agents.cli.local import run_local
    from lilypad_agents.errors import UsageError

    if not local:
        raise UsageError("`module run` runs on this machine only; say --local, or use `lilypad run` to order a job.")
    run_local(out, choice, words, folder)


for _command in (new, import_module, lint, test, certify, pack, publish, deprecate, fork, search, earnings, claim):
    module.add_command(_command)
