"""Where the devnet keeps what, and who is who. Accounts are indices of the public test mnemonic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER_NAME = ".devnet"
CHAIN_ID = 1337
DEFAULT_PORT = 8545

DEPLOYER, SOLVER, FIRST_PROVIDER, SECOND_PROVIDER, CREATOR, PUBLISHER, CHEATER = range(7)
MORE_CREATORS = range(10, 18)  # for benchmarks and tests with several creators
MEDIATORS = range(20, 29)
SEEDS = range(30, 32)  # as many as the devnet's `leastParticipants`
# Account 7, 8 and 9 hold coin for gas and nothing else: for trying out what happens without tokens.
PENNILESS = 9

ROLES = {
    "deployer": DEPLOYER,
    "solver": SOLVER,
    "provider1": FIRST_PROVIDER,
    "provider2": SECOND_PROVIDER,
    "creator": CREATOR,
    "publisher": PUBLISHER,
    "cheater": CHEATER,
    "penniless": PENNILESS,
    **{f"creator{number}": index for number, index in enumerate(MORE_CREATORS, 2)},
    **{f"mediator{number}": index for number, index in enumerate(MEDIATORS, 1)},
    **{f"seeds{number}": index for number, index in enumerate(SEEDS, 1)},
}


@dataclass(frozen=True)
class Layout:
    """The paths below one devnet folder."""

    folder: Path

    @property
    def record(self) -> Path:
        """What runs and where: `record.Record`."""
        return self.folder / "devnet.json"

    @property
    def lock(self) -> Path:
        return self.folder / "devnet.lock"

    @property
    def chain_state(self) -> Path:
        return self.folder / "chain" / "state.json"

    @property
    def address_book(self) -> Path:
        return self.folder / "deployments" / f"{CHAIN_ID}.json"

    @property
    def aliases(self) -> Path:
        """The curated list that creators of this devnet trust."""
        return self.folder / "aliases.json"

    @property
    def creator(self) -> Path:
        """The data of this machine's creators: journals, content, keys."""
        return self.folder / "creator"

    def agent(self, name: str) -> Path:
        """The folder of one agent; no other reads it."""
        return self.folder / name

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def find_folder(start: Path) -> Path | None:
    """The devnet folder of `start` or of the nearest folder above that has one."""
    for folder in (start, *start.parents):
        if (folder / FOLDER_NAME / "devnet.json").is_file():
            return folder / FOLDER_NAME
    return None


def find_checkout(start: Path, package: Path) -> Path | None:
    """The folder with `node_modules` and `modules`: `start` or one above it, else the one the package lies in."""
    for folder in (start, *start.parents, package.parent):
        if (folder / "modules").is_dir() and (folder / "node_modules").is_dir():
            return folder
    return None
