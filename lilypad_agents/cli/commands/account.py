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
    from lilypad_agents.chain.keys import Secret


@click.group()
def account() -> None:
    """List, make, import or show accounts. Use one with --account NAME in any command."""


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
