"""`lilypad devnet`: a network on this machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import PATH
from lilypad_agents.cli.output import Output, table
from lilypad_agents.devnet.layout import FOLDER_NAME, ROLES, find_folder

if TYPE_CHECKING:
    from lilypad_agents.devnet.network import Devnet
    from lilypad_agents.devnet.record import Record

UP_EXAMPLES = """\b
Examples:
  lilypad devnet up
  lilypad devnet up --instant          (blocks on transactions only)
  lilypad devnet up --dir /tmp/net     (another folder than the present one)
  lilypad devnet up --cheater          (a third provider, which alters results)
  lilypad devnet up --chain geth       (as strict about fees as a public chain; `make geth` builds it)
  lilypad devnet up --randomness commit-reveal   (as on a rollup, with two agents that make the seeds)
"""
_FOLDER = click.option("--dir", "folder", type=PATH, metavar="DIR", help="Folder that holds .devnet; default: here or above.")


@click.group()
def devnet() -> None:
    """Start, stop and inspect a network on this machine: chain, contracts, solver, providers, mediators, play money."""


@devnet.command(cls=LilypadCommand, epilog=UP_EXAMPLES)
@_FOLDER
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the chain; default 8545, or a free one.")
@click.option("--instant", is_flag=True, help="Mine on transactions only: for `--pool unverified`, since the lottery waits for blocks.")
@click.option("--chain", type=click.Choice(["anvil", "geth"]), help="Program of the chain; default: as before, at first anvil.")
@click.option("--randomness", type=click.Choice(["blockhash", "commit-reveal"]), help="Where seeds come from; default: as before, at first blockhash.")
@click.option("--modules", type=PATH, metavar="DIR", help="Folder of modules to publish; default: the checkout's.")
@click.option("--mediators", type=click.IntRange(0, 9), default=3, show_default=True, help="How many stake and judge.")
@click.option("--cheater", is_flag=True, help="A third provider, which alters results; meet it with `run --target`.")
@click.option("--lazy", type=click.IntRange(0, 9), default=0, hidden=True, help="So many of them vote what the cheat tells them.")
@click.option("--absent", type=click.IntRange(0, 9), default=0, hidden=True, help="So many of them have a stake and do not run.")
@click.option("--detach/--foreground", default=True, help="Leave it running (default), or stop it with Ctrl-C.")
def up(
    out: Output,
    folder: Path | None,
    port: int | None,
    instant: bool,
    chain: str | None,
    modules: Path | None,
    detach: bool,
    **agents: Any,
) -> None:
    """Start everything that does not run yet, and wait until a job can run. Keys are public test keys: play money only."""
    from lilypad_agents.devnet.chain import ChainProgram
    from lilypad_agents.devnet.network import Options

    began = time.monotonic()
    network = _network(folder, out, create=True)
    before = network.record()
    already = before is not None and before.ready and set(before.running) >= set(before.parts)
    program = None if chain is None else ChainProgram(chain)
    record = network.up(Options(port=port, block_seconds=None if instant else 1, chain=program, modules=modules, **agents))
    seconds = time.monotonic() - began

    def show() -> None:
        out.note(f"{'Everything was running already' if already else 'Ready'} after {seconds:.1f} s.")
        out.print(_table(record))
        if record.alive("cheater"):
            target = _data(record, network)["parts"]["cheater"]["account"]
            out.note(f'\nCheat:  lilypad run cowsay:v0.0.1 -i Message="moo" --verify --target {target}')
        out.note('\nNext:  lilypad run cowsay:v0.0.1 -i Message="moo"')
        out.note("       lilypad balance --all   ·   lilypad devnet status   ·   lilypad devnet down")

    data = {**_data(record, network), "seconds": round(seconds, 1), "alreadyRunning": already}
    if detach:
        out.finish(data, show)
        return
    out.finish(data, show)
    _wait_in_foreground(out, network)


@devnet.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad devnet down")
@_FOLDER
def down(out: Output, folder: Path | None) -> None:
    """Stop the processes that this devnet started, and no others. Its state stays for the next `up`."""
    network = _network(folder, out)
    stopped = network.down()
    told = f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running."
    out.finish({"stopped": list(stopped)}, lambda: out.note(told))


@devnet.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad devnet status\n  lilypad devnet status --json")
@_FOLDER
def status(out: Output, folder: Path | None) -> None:
    """Show what runs, where it listens, and since when it is ready."""
    from lilypad_agents.devnet.errors import DevnetNotRunning

    network = _network(folder, out)
    record = network.record()
    if record is None:
        raise DevnetNotRunning(f"There is no devnet in {network.layout.folder}.")
    stopped = [name for name in record.parts if not record.alive(name)]

    def show() -> None:
        out.print(_table(record))
        if stopped:
            out.note(f"Not running: {', '.join(stopped)}. `lilypad devnet up` starts them.")

    out.finish(_data(record, network), show, exit_code=10 if stopped else 0)


@devnet.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad devnet reset --yes")
@_FOLDER
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(out: Output, folder: Path | None, yes: bool) -> None:
    """Stop everything and forget everything: chain, deals, content, journals."""
    from lilypad_agents.errors import UsageError

    network = _network(folder, out)
    if not yes:
        if not out.is_terminal:
            raise UsageError("`devnet reset` forgets everything; say --yes where nobody can be asked.")
        click.confirm(f"Forget everything in {network.layout.folder}?", err=True, abort=True)
    stopped = network.reset()
    out.finish({"stopped": list(stopped)}, lambda: out.note("The devnet is gone."))


@devnet.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad devnet restart provider1")
@click.argument("part")
@_FOLDER
def restart(out: Output, part: str, folder: Path | None) -> None:
    """Start one agent again, for trying out what happens to running deals."""
    record = _network(folder, out).restart(part)
    out.finish({"part": part, "pid": record.parts[part].identity.pid}, lambda: out.note(f"{part} runs again."))


def _network(folder: Path | None, out: Output, *, create: bool = False) -> Devnet:
    import lilypad_agents
    from lilypad_agents.devnet.errors import DevnetNotRunning
    from lilypad_agents.devnet.network import Devnet

    found = folder / FOLDER_NAME if folder is not None else find_folder(Path.cwd())
    if found is None:
        if not create:
            raise DevnetNotRunning(f"There is no devnet here: no folder {FOLDER_NAME} in {Path.cwd()} or above.")
        found = Path.cwd() / FOLDER_NAME
    package = Path(lilypad_agents.__file__).resolve().parent
    return Devnet(found, package, dict(os.environ), out.note)


def _data(record: Record, network: Devnet) -> dict[str, Any]:
    from lilypad_agents.devnet.funding import address_of

    return {
        "folder": str(network.layout.folder),
        "rpcUrl": record.rpc_url,
        "ready": record.ready,
        "addressBook": str(network.layout.address_book),
        "parts": {
            name: {
                "running": part.identity.alive,
                "pid": part.identity.pid,
                "url": part.url,
                "account": None if part.account is None else address_of(part.account),
                "log": part.log,
            }
            for name, part in record.parts.items()
        },
        "accounts": {name: address_of(index) for name, index in ROLES.items()},
    }


def _table(record: Record) -> str:
    from lilypad_agents.devnet.funding import address_of

    rows = [
        (
            name,
            "running" if part.identity.alive else "stopped",
            part.identity.pid,
            part.url,
            "" if part.account is None else address_of(part.account),
        )
        for name, part in record.parts.items()
    ]
    rows.append(("creator", "you", "", "", address_of(ROLES["creator"])))
    return table(("part", "state", "pid", "where", "account"), rows)


def _wait_in_foreground(out: Output, network: Devnet) -> None:
    """Until Ctrl-C, or until a part ends by itself."""
    from lilypad_agents.devnet.errors import DevnetPartFailed

    out.note("Ctrl-C stops it.")
    try:
        while True:
            record = network.record()
            gone = [name for name in (record.parts if record else {}) if record and not record.alive(name)]
            if gone:
                raise DevnetPartFailed(f"{', '.join(gone)} ended.", parts=gone)
            time.sleep(0.5)
    except KeyboardInterrupt:
        out.note("")
    finally:
        network.down()
