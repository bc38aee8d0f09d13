"""`lilypad account`: keys, kept in files that only their owner can read. No command ever prints a key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import PATH, connection_options
from lilypad_agents.cli.output import Output, table
from lilypad_agents.cli.settings import Choice, creator_settings, keystore_path, test_index
from lilypad_agents.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.parties import Party
    from lilypad_agents.chain.keys import Secret


@click.group()
def account() -> None:
    """List, make, import or show accounts, and count what they did. Use one with --account NAME in any command."""


@account.command("list", cls=LilypadCommand, epilog="\b\nExample:\n  lilypad account list")
@connection_options
def list_accounts(out: Output, choice: Choice) -> None:
    """Show the key files of this machine and, on a local chain, the roles of the devnet."""
    import json

    from lilypad_agents.chain.keys import LOCAL_CHAINS
    from lilypad_agents.devnet.funding import address_of
    from lilypad_agents.devnet.layout import ROLES
    from lilypad_agents.protocol.ids import checksummed

    keys, chain_id = _keys(choice)
    rows = []
    for path in sorted(keys.glob("*.json")) if keys.is_dir() else []:
        try:
            address = checksummed("0x" + str(json.loads(path.read_text(encoding="utf-8"))["address"]).removeprefix("0x"))
        except (OSError, ValueError, KeyError, TypeError):
            address = "?"  # type: ignore[assignment]
        rows.append({"name": path.stem, "account": address, "kind": "key file", "path": str(path)})
    if chain_id in LOCAL_CHAINS:
        rows += [
            {"name": name, "account": address_of(index), "kind": "public test key", "path": None}
            for name, index in ROLES.items()
        ]
    out.finish(
        {"accounts": rows},
        lambda: out.print(table(("name", "account", "kind"), [(row["name"], row["account"], row["kind"]) for row in rows])),
    )


@account.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad account new alice\n  lilypad account new alice --password-file pass.txt")
@click.argument("name")
@connection_options
def new(out: Output, choice: Choice, name: str) -> None:
    """Make a new key in a key file. Without --password-file a random password is written beside it: keep both safe."""
    import secrets

    from lilypad_agents.chain.keys import Secret

    _write(out, choice, name, Secret(secrets.token_bytes(32)))


@account.command("import", cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad account import alice --key-file key.txt\n  lilypad account import alice < key.txt")
@click.argument("name")
@click.option("--key-file", type=PATH, metavar="FILE", help="File with 64 hexadecimal digits; default: standard input.")
@connection_options
def import_account(out: Output, choice: Choice, name: str, key_file: Path | None) -> None:
    """Put a private key into a key file. It is read from a file or standard input, never from the command line."""
    from lilypad_agents.chain.errors import KeyUnusable
    from lilypad_agents.chain.keys import Secret

    if key_file is None and sys.stdin.isatty():
        text = click.prompt("Private key (64 hexadecimal digits, not shown)", hide_input=True, err=True)
    else:
        text = sys.stdin.read(200) if key_file is None else _read(key_file)
    try:
        raw = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        raise KeyUnusable("That is no private key: 64 hexadecimal digits are.") from None
    _write(out, choice, name, Secret(raw))


@account.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad account show\n  lilypad account show --account alice")
@connection_options
def show(out: Output, choice: Choice) -> None:
    """Show which account commands use, and where its key comes from. Never shows the key."""
    from lilypad_agents.cli.options import open_creator

    with open_creator(choice) as creator:
        settings = creator.session.settings
        where = choice.account or next(
            (f"{name} ({settings.origin(name)})" for name in ("keystore", "ape_account", "test_account") if getattr(settings, name) is not None),
            "nothing",
        )
        data = {"account": creator.session.account, "from": where, "chainId": int(creator.session.book.chain_id)}
    out.finish(data, lambda: out.print(f"{data['account']}  from {where}"))


@account.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad account facts\n  lilypad account facts 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --json")
@click.argument("address", required=False)
@connection_options
def facts(out: Output, choice: Choice, address: str | None) -> None:
    """Count what the chain says of an account (default: yours): deals settled, late, wrong; seats; its directory record.

    Counts of events up to one block, by the formula in docs/protocol.md section 10. No contract relies on them, and an account can deal
    with itself: they are facts, and no score.
    """
    from lilypad_agents.agents.creator.parties import read_party
    from lilypad_agents.cli.jobspec import account_of
    from lilypad_agents.cli.options import open_creator
    from lilypad_agents.execution.display import printable

    with open_creator(choice) as creator:
        party = read_party(creator.session.chain, creator.session.account if address is None else account_of(address))
    rows = [(role, *(deals[name] for name in _FACTS)) for role, deals in _deals_of(party).items()]

    def show() -> None:
        out.print(f"{party.account} at block {party.block.number}")
        out.print(table(("as", *_FACTS), rows))
        out.print(f"as mediator: {party.as_mediator.ended} seats ended, {party.as_mediator.lost} of them lost stake")
        if party.listing.roles:
            where = ", ".join(party.listing.endpoints) or "no endpoint"
            out.print(printable(f"in the directory as {', '.join(party.listing.roles)}: {where}"))

    out.finish(_party_json(party), show)


_FACTS = ("opened", "running", "settled", "late", "wrong", "declined", "noFault", "closed")


def _deals_of(party: Party) -> dict[str, dict[str, int]]:
    """Counts by the names of _FACTS, for each role."""
    return {
        role: {
            "opened": deals.opened, "running": deals.running, "settled": deals.settled, "late": deals.late, "wrong": deals.wrong,
            "declined": deals.declined, "noFault": deals.no_fault, "closed": deals.closed,
        }
        for role, deals in (("provider", party.as_provider), ("creator", party.as_creator))
    }  # fmt: skip


def _party_json(party: Party) -> dict[str, object]:
    seats, listing = party.as_mediator, party.listing
    return {
        "account": party.account,
        "block": party.block.number,
        "blockHash": "0x" + party.block.hash.hex(),
        **_deals_of(party),
        "mediator": {
            "ended": seats.ended,
            "lost": seats.lost,
            "loss": {"0x" + pool.hex(): str(amount) for pool, amount in (seats.loss or {}).items()},
        },
        "directory": {"roles": list(listing.roles), "metadata": "0x" + listing.metadata.hex(), "endpoints": list(listing.endpoints)},
    }


def _keys(choice: Choice) -> tuple[Path, int | None]:
    """The folder of key files and the chain, without needing a network."""
    try:
        settings = creator_settings(choice)
    except ConfigurationError:
        from lilypad_agents.agents.creator.settings import CreatorSettings

        return CreatorSettings.load().keys, None
    from lilypad_agents.chain.deployments import AddressBook

    try:
        return settings.keys, AddressBook.load(settings.address_book).chain_id
    except ConfigurationError:
        return settings.keys, None


def _write(out: Output, choice: Choice, name: str, secret: Secret) -> None:
    import secrets as randomness

    from lilypad_agents.chain.keys import LocalSigner, Secret, write_keystore

    if test_index(name) is not None or name.startswith(("ape:", "test:")):
        raise UsageError(f"{name!r} already means something else; choose another name.")
    if "/" in name or name.endswith(".json"):
        raise UsageError(f"{name!r} is a path; give a plain name, the file goes into the folder of keys.")
    keys, _ = _keys(choice)
    path = keystore_path(keys, name)
    LocalSigner(secret)  # refuses a number that is no key before any file is made
    if choice.password_file is not None:
        password, where = Secret(_read(choice.password_file).split("\n", 1)[0].encode()), choice.password_file
    else:
        password, where = Secret(randomness.token_urlsafe(24).encode()), path.with_suffix(".password")
    address = write_keystore(secret, path, password)
    if choice.password_file is None:
        _write_password(where, password)
    data = {"name": name, "account": address, "keystore": str(path), "passwordFile": str(where)}
    out.finish(data, lambda: _told(out, data))


def _told(out: Output, data: dict[str, str]) -> None:
    out.print(data["account"])
    out.note(f"Key file {data['keystore']}, password in {data['passwordFile']}. Keep a copy of both: nobody can restore them.")


def _write_password(path: Path, password: Secret) -> None:
    import os

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(password.reveal() + b"\n")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(10_000)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file {path} cannot be read: {error}.") from None
