"""`lilypad list`: curated lists, so that others can trust short names that you vouch for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.confirm import confirm
from lilypad_agents.cli.options import with_creator
from lilypad_agents.cli.output import Output, table
from lilypad_agents.protocol.ids import hex_of

if TYPE_CHECKING:
    from lilypad_agents.agents.author.curating import Curator, Draft
    from lilypad_agents.agents.creator.client import Creator


@click.group("list")
def list_() -> None:
    """Keep a curated list of modules, or look at one.

    Changes are noted with `add` and `remove` and take effect with `publish`, together with the list's root.
    Others trust a list by naming it under `lists` in their settings, as account/name or by its id.
    """


@list_.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad list create good-modules --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def create(out: Output, creator: Creator, name: str, yes: bool) -> None:
    """Register an empty list under your account."""
    curator = _curator(creator, name)
    if not curator.state.exists:
        confirm(out, f"This registers the list {curator.reference.text} for ever. Go on?", yes=yes)
    transaction = curator.create(name)
    data = {**_named(curator), "alreadyThere": transaction is None, "transaction": None if transaction is None else hex_of(transaction)}
    out.finish(data, lambda: out.print(f"{'Was there before' if transaction is None else 'Created'}: {curator.reference.text}, id {data['id']}"))


@list_.command(cls=LilypadCommand, epilog='\b\nExamples:\n  lilypad list add good-modules cowsay:v0.0.1\n  lilypad list add good-modules hello:v1 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65/hello:v0.1.0 --note "reviewed"')
@click.argument("name", metavar="LIST")
@click.argument("label")
@click.argument("reference", metavar="[MODULE]", required=False)
@click.option("--note", default="", metavar="TEXT", help="Why it is in the list: deterministic, reviewed...")
@with_creator
def add(out: Output, creator: Creator, name: str, label: str, reference: str | None, note: str) -> None:
    """Note that LABEL shall mean MODULE (default: what LABEL means to you). `list publish` makes it so."""
    curator = _curator(creator, name)
    module = creator.session.modules.resolve(reference or label)
    draft = curator.add(label, module.version_id, note)
    _show_draft(out, curator, draft, f"Noted: {label} is {module.full_name}.")


@list_.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad list remove good-modules cowsay:v0.0.1")
@click.argument("name", metavar="LIST")
@click.argument("label")
@with_creator
def remove(out: Output, creator: Creator, name: str, label: str) -> None:
    """Note that LABEL shall go. `list publish` makes it so."""
    curator = _curator(creator, name)
    _show_draft(out, curator, curator.remove(label), f"Noted: {label} goes.")


def _show_draft(out: Output, curator: Curator, draft: Draft, text: str) -> None:
    document = draft.to_json()
    data = {**_named(curator), "removed": document["removed"], "added": document["added"]}

    def show() -> None:
        out.print(text)
        out.note(f"{len(draft.added)} to put in, {len(draft.removed)} to take out: `lilypad list publish {curator.reference.text}`")

    out.finish(data, show)


@list_.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad list publish good-modules --yes")
@click.argument("name", metavar="LIST")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_creator
def publish(out: Output, creator: Creator, name: str, yes: bool) -> None:
    """Publish what was noted, and the Merkle root over all versions that then are in the list, in one transaction."""
    curator = _curator(creator, name)
    draft = curator.draft()
    if not draft.is_empty:
        confirm(out, f"Put {len(draft.added)} in, take {len(draft.removed)} out of {curator.reference.text}?", yes=yes)
    root, transaction = curator.publish()
    entries = len(curator.state.entries)
    data = {**_named(curator), "root": hex_of(root), "entries": entries, "transaction": None if transaction is None else hex_of(transaction)}
    text = "Nothing was noted; nothing changed" if transaction is None else "Published"
    out.finish(data, lambda: out.print(f"{text}: {entries} entries, root {hex_of(root)}"))


@list_.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad list show good-modules\n  lilypad list show 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65/good-modules --json")
@click.argument("name", metavar="LIST")
@with_creator
def show(out: Output, creator: Creator, name: str) -> None:
    """Show a list: curator, entries, whether the root fits them, and what you noted and did not publish yet."""
    from lilypad_agents.agents.creator.errors import ListUnknown

    curator = _curator(creator, name)
    state, draft = curator.state, curator.draft()
    if not state.exists:
        raise ListUnknown(f"There is no list {curator.reference.text} on this chain.", list=curator.reference.text)
    noted = draft.to_json()
    rows = [{"label": entry.label, "version": hex_of(entry.version), "note": entry.note} for _, entry in sorted(state.entries.items())]
    data = {
        **_named(curator),
        "curator": state.curator,
        "root": hex_of(state.root),
        "sound": state.is_sound,
        "entries": rows,
        "draft": {"removed": noted["removed"], "added": noted["added"]},
    }

    def human() -> None:
        out.print(f"list      {curator.reference.text}, id {data['id']}")
        out.print(f"curator   {state.curator}")
        verdict = "which its entries give" if state.is_sound else "which its entries do NOT give: do not trust it"
        out.print(f"root      {data['root']}, {verdict}")
        out.print(table(("label", "version id", "note"), [(row["label"], row["version"], row["note"]) for row in rows]))
        for entry in noted["added"]:
            out.print(f"noted     {entry['label']} comes in")
        for label in noted["removed"]:
            out.print(f"noted     {label} goes")

    out.finish(data, human)


def _curator(creator: Creator, name: str) -> Curator:
    from lilypad_agents.agents.author.curating import Curator

    return Curator(creator.session, name)


def _named(curator: Curator) -> dict[str, Any]:
    return {"list": curator.reference.text, "id": hex_of(curator.reference.id)}
