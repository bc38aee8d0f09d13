"""`lilypad module publish|deprecate|fork|search|earnings|claim`: modules on the chain, and what they earn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.confirm import confirm
from lilypad_agents.cli.options import PATH, with_creator
from lilypad_agents.cli.output import Output, table
from lilypad_agents.execution.display import printable
from lilypad_agents.protocol.ids import hex_of

if TYPE_CHECKING:
    from lilypad_agents.agents.author.earnings import Claimed, Earnings
    from lilypad_agents.agents.author.publishing import Plan, Published
    from lilypad_agents.agents.creator.client import Creator

PUBLISH_EXAMPLES = """\b
Examples:
  lilypad module publish ./hello
  lilypad module publish ./hello --yes --json
  lilypad module publish ./mine --parent-share 2000 --fork-share 1000 --yes
\b
Runs the examples, shows what becomes permanent, stores and pushes the content,
then registers the version. Repeating it does only what is missing; publishing
equal content again changes nothing. Shares are basis points of income.
"""


@click.command(cls=LilypadCommand, epilog=PUBLISH_EXAMPLES)
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--parent-share", type=click.IntRange(0, 10_000), metavar="BPS", help="Of its income, to the parent; default: the least that the parent asks.")
@click.option("--fork-share", type=click.IntRange(0, 10_000), metavar="BPS", default=0, show_default=True, help="What forks of it shall owe.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def publish(out: Output, creator: Creator, folder: Path, parent_share: int | None, fork_share: int, yes: bool) -> None:
    """Publish a module's folder: for ever, under your account, with its royalty and its line."""
    from lilypad_agents.agents.author.errors import ExamplesFailed
    from lilypad_agents.agents.author.publishing import plan_publication
    from lilypad_agents.agents.author.publishing import publish as carry_out
    from lilypad_agents.agents.author.runs import run_examples
    from lilypad_agents.cli.local import source_folder

    session = creator.session
    plan = plan_publication(session, source_folder(folder), parent_share_bps=parent_share, fork_share_bps=fork_share)
    failed = [run for run in run_examples(plan.packed) if run.problems]
    if failed:
        told = "; ".join(f"example {run.index}: {run.problems[0]}" for run in failed[:5])
        raise ExamplesFailed(f"{told}.", failed=[run.index for run in failed])
    _show_plan(out, plan)
    if not plan.registered:
        confirm(out, f"This makes {plan.full_name} permanent: nobody can change or remove it. Publish it?", yes=yes)
    done = carry_out(session, plan, out.note)
    out.finish(_published(done), lambda: _show_published(out, done))


def _show_plan(out: Output, plan: Plan) -> None:
    """What the signature will make permanent, on standard error, so that it is seen before the question."""
    if not out.for_people:
        return
    manifest, terms = plan.manifest, plan.terms
    out.note(f"name      {plan.full_name}  {printable(manifest.title or '')}".rstrip())
    out.note(f"version   {hex_of(plan.version)}")
    out.note(f"manifest  {plan.contents[0].cid}, sha2-256 {hex_of(plan.packed.digest)}")
    for item in plan.contents[1:]:
        out.note(f"content   {item.cid}  {printable(item.what)}, {item.size} bytes")
    out.note(f"licence   {printable(manifest.licence.code)}")
    out.note(f"royalty   {terms.royalty_bps / 100:g} % of the price" + (f", to {terms.royalty_to}" if terms.royalty_bps else ""))
    if plan.line:
        out.note(f"parent    {plan.line[0].full_name}, gets {plan.parent_share_bps / 100:g} % of the income")
    out.note(f"forks     owe {plan.fork_share_bps / 100:g} % of their income")
    out.note("state     published already: nothing will be signed" if plan.registered else f"cost      about {plan.gas} gas")


def _published(done: Published) -> dict[str, Any]:
    plan = done.plan
    return {
        "name": plan.full_name,
        "version": hex_of(plan.version),
        "manifestDigest": hex_of(plan.packed.digest),
        "contents": [item.to_json() for item in plan.contents],
        "royaltyBps": plan.terms.royalty_bps,
        "royaltyTo": plan.terms.royalty_to,
        "parent": hex_of(plan.line[0].id) if plan.line else None,
        "parentShareBps": plan.parent_share_bps,
        "forkShareBps": plan.fork_share_bps,
        "solvers": list(done.solvers),
        "ipfs": done.ipfs,
        "alreadyPublished": plan.registered,
        "transaction": None if done.transaction is None else hex_of(done.transaction),
        "gasUsed": done.gas_used,
    }


def _show_published(out: Output, done: Published) -> None:
    plan = done.plan
    if plan.registered:
        out.print(f"{plan.full_name} was published before; nothing changed.")
    else:
        out.print(f"Published {plan.full_name}, {done.gas_used} gas.")
    out.note(f"Run it: `lilypad run {plan.full_name}`")


@click.command(cls=LilypadCommand, epilog='\b\nExamples:\n  lilypad module deprecate 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65/hello:v0.1.0 --note "use v0.2.0" --yes')
@click.argument("reference", metavar="MODULE")
@click.option("--note", default="", metavar="TEXT", help="For people: why, and what to use instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def deprecate(out: Output, creator: Creator, reference: str, note: str, yes: bool) -> None:
    """Mark a version as not for new jobs, for ever. Deals under way and forks go on."""
    from lilypad_agents.agents.author.publishing import deprecate as carry_out

    module = creator.session.modules.resolve(reference)
    if not module.deprecated:
        confirm(out, f"This marks {module.full_name} as deprecated for ever. Go on?", yes=yes)
    transaction = carry_out(creator.session, module.version_id, note)
    data = {
        "name": module.full_name,
        "version": hex_of(module.version_id),
        "alreadyDeprecated": transaction is None,
        "transaction": None if transaction is None else hex_of(transaction),
    }
    text = f"{module.full_name} was deprecated before." if transaction is None else f"Deprecated {module.full_name}."
    out.finish(data, lambda: out.print(text))


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module fork cowsay:v0.0.1\n  lilypad module fork cowsay:v0.0.1 --name cowsay-loud --dir ./loud")
@click.argument("reference", metavar="MODULE")
@click.option("--name", metavar="NAME", help="Name of the fork; default: the parent's.")
@click.option("--dir", "folder", type=PATH, metavar="DIR", help="Where to write it; default: ./NAME.")
@with_creator
def fork(out: Output, creator: Creator, reference: str, name: str | None, folder: Path | None) -> None:
    """Write a published module as a source folder of your own, with its parent named; say what it will owe."""
    from lilypad_agents.agents.author.forking import write_fork
    from lilypad_agents.agents.author.registry import ModuleRegistry
    from lilypad_agents.agents.creator.runner import fetch_module
    from lilypad_agents.content.cid import Cid
    from lilypad_agents.content.limits import Limits

    session = creator.session
    module = session.modules.resolve(reference)
    registry = ModuleRegistry(session.chain)
    line = registry.line(module.version_id)
    content = fetch_module(session, module.manifest)
    most = {slot.name: slot.max_bytes for slot in module.manifest.files}
    files = {
        cid: session.fetch_public(Cid.parse(cid), Limits(max_bytes=most[slot], max_entries=1))
        for example in module.manifest.examples
        for slot, cid in example.files.items()
    }
    target = folder or Path(name or module.manifest.name)
    written = write_fork(target, module.manifest, hex_of(module.version_id), content.wasm, content.artifacts, files, name=name)
    data = {
        "folder": str(target),
        "files": [str(path) for path in written],
        "parent": hex_of(module.version_id),
        "parentName": module.full_name,
        "leastParentShareBps": line[0].fork_share_bps,
        "ancestors": [{"name": item.full_name, "version": hex_of(item.id)} for item in line],
    }

    def show() -> None:
        for path in written:
            out.print(str(path))
        out.note(f"Parent {module.full_name}: it gets at least {line[0].fork_share_bps / 100:g} % of what the fork earns.")

    out.finish(data, show)


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module search cow\n  lilypad module search --publisher 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65\n  lilypad module search --all --json")
@click.argument("text", required=False, default="")
@click.option("--publisher", metavar="ADDRESS", help="Only modules under this account.")
@click.option("--all", "everything", is_flag=True, help="Deprecated versions too.")
@with_creator
def search(out: Output, creator: Creator, text: str, publisher: str | None, everything: bool) -> None:
    """Find published modules by a part of their name. Being found says nothing about trust: the last column does."""
    from lilypad_agents.agents.author.registry import ModuleRegistry
    from lilypad_agents.cli.jobspec import account_of

    session = creator.session
    account = None if publisher is None else account_of(publisher)
    found = [item for item in ModuleRegistry(session.chain).publications(publisher=account) if text.lower() in item.name]
    vouching: dict[bytes, list[str]] = {}
    for trusted in session.lists:
        for alias in trusted.modules.values():
            vouching.setdefault(bytes(alias.terms.id), []).append(trusted.name)
    deprecated = {item.id for item in found if session.chain.deprecated(item.id)}
    rows = [
        {
            "name": item.full_name,
            "version": hex_of(item.id),
            "royaltyBps": item.terms.royalty_bps,
            "forkShareBps": item.fork_share_bps,
            "parent": hex_of(item.terms.parent) if any(item.terms.parent) else None,
            "deprecated": item.id in deprecated,
            "lists": vouching.get(bytes(item.id), []),
        }
        for item in found
        if everything or item.id not in deprecated
    ]

    def show() -> None:
        cells = [
            (row["name"], f"{row['royaltyBps'] / 100:g} %", "deprecated" if row["deprecated"] else "", ", ".join(row["lists"]) or "no list of yours")
            for row in rows
        ]
        out.print(table(("name", "royalty", "state", "vouched for by"), cells))

    out.finish({"modules": rows}, show)


# ---- money

EARNINGS_HEADINGS = ("module", "accrued", "swept", "claimable", "yours", "paid", "paid to you")


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module earnings\n  lilypad module earnings cowsay:v0.0.1 --json")
@click.argument("references", metavar="[MODULE]...", nargs=-1)
@with_creator
def earnings(out: Output, creator: Creator, references: tuple[str, ...]) -> None:
    """Show what modules earned: accrued and swept in the core, claimable, your part of it, paid so far.

    Without MODULE: every version that pays you, as owner of its name or of one of its ancestors' names.
    """
    found = _earnings(creator, references)
    out.finish({"earnings": [_earnings_json(creator, item) for item in found]}, lambda: _show_earnings(out, creator, found))


def _earnings(creator: Creator, references: tuple[str, ...]) -> list[Earnings]:
    from lilypad_agents.agents.author.earnings import EarningsBook

    book = EarningsBook(creator.session)
    if not references:
        return book.mine()
    return [item for text in references for item in book.of(creator.session.modules.resolve(text).version_id)]


def _earnings_json(creator: Creator, item: Earnings) -> dict[str, Any]:
    token = creator.session.chain.token(item.token)
    return {
        "name": item.publication.full_name,
        "version": hex_of(item.publication.id),
        "token": token.symbol,
        "tokenAddress": item.token,
        "accrued": token.decimal(item.accrued),
        "swept": token.decimal(item.swept),
        "claimable": token.decimal(item.claimable),
        "yours": token.decimal(item.yours),
        "paid": token.decimal(item.paid),
        "paidToYou": token.decimal(item.paid_to_you),
        "split": [{"payee": payee, "amount": token.decimal(amount)} for payee, amount in item.split],
    }


def _show_earnings(out: Output, creator: Creator, found: list[Earnings]) -> None:
    if not found:
        out.print("No deal has earned anything yet.")
        return
    rows = [_earnings_json(creator, item) for item in found]
    keys = ("accrued", "swept", "claimable", "yours", "paid", "paidToYou")
    out.print(table(EARNINGS_HEADINGS, [(row["name"], *(f"{row[key]} {row['token']}" for key in keys)) for row in rows]))
    for row in rows:
        for part in row["split"] if len(row["split"]) > 1 else ():
            out.note(f"          of {row['name']}: {part['amount']} {row['token']} to {part['payee']}")


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module claim\n  lilypad module claim cowsay:v0.0.1 --json")
@click.argument("references", metavar="[MODULE]...", nargs=-1)
@with_creator
def claim(out: Output, creator: Creator, references: tuple[str, ...]) -> None:
    """Pay out what waits: to you and to everybody else in each module's line, in one transaction a module.

    Without MODULE: all that pays you. What is paid is ledger balance; `lilypad withdraw` moves it to a wallet.
    """
    from lilypad_agents.agents.author.earnings import claim as carry_out

    done = carry_out(creator.session, _earnings(creator, references))
    rows = [_claimed_json(creator, item) for item in done]

    def show() -> None:
        for row in rows:
            for part in row["paid"]:
                out.print(f"{row['name']}: {part['amount']} {row['token']} to {part['payee']}")
        if not rows:
            out.print("Nothing waits to be claimed.")

    out.finish({"claims": rows}, show)


def _claimed_json(creator: Creator, item: Claimed) -> dict[str, Any]:
    token = creator.session.chain.token(item.earnings.token)
    return {
        "name": item.earnings.publication.full_name,
        "version": hex_of(item.earnings.publication.id),
        "token": token.symbol,
        "amount": token.decimal(item.amount),
        "paid": [{"payee": payee, "amount": token.decimal(amount)} for payee, amount in item.paid],
        "transaction": hex_of(item.transaction),
    }
