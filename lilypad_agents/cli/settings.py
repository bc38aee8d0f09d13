"""Where settings come from: the only place that reads the environment and looks for files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilypad_agents.devnet.layout import FOLDER_NAME, ROLES, find_folder
from lilypad_agents.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.settings import CreatorSettings
    from lilypad_agents.chain.keys import Signer
    from lilypad_agents.chain.types import ChainId

DEVNET = "devnet"
CREATOR_FILE = "creator.toml"
PROJECT_FILE = "lilypad.toml"
# Variables with our prefix that are no settings: the shell's and Ape's, and those that this module reads itself.
_NOT_SETTINGS = frozenset(
    {"LILYPAD_ROOT", "LILYPAD_RPC_URL", "LILYPAD_CONFIG", "LILYPAD_NETWORK", "LILYPAD_ACCOUNT", "LILYPAD_PASSWORD_FILE"}
)


@dataclass(frozen=True)
class Choice:
    """What a command line says about where to connect and as whom; None or empty: not said."""

    network: str | None = None
    config: Path | None = None
    account: str | None = None
    password_file: Path | None = None
    private_key: str | None = None
    rpc: tuple[str, ...] = ()
    solver: tuple[str, ...] = ()


def environment() -> dict[str, str]:
    """The variables that may hold settings."""
    return {name: value for name, value in os.environ.items() if name.startswith("LILYPAD_") and name not in _NOT_SETTINGS}


def settings_file(network: str | None, config: Path | None) -> Path | None:
    """The settings file: named, by network, or the first of lilypad.toml here, a devnet here or above, the user's own.

    Raises ConfigurationError for a network that has no file.
    """
    config = config or (Path(os.environ["LILYPAD_CONFIG"]) if os.environ.get("LILYPAD_CONFIG") else None)
    network = network or os.environ.get("LILYPAD_NETWORK")
    if config is not None:
        return config
    if network in (DEVNET, "dev"):
        return _devnet_file(required=True)
    if network:
        path = user_folder() / f"{network}.toml"
        if not path.is_file():
            raise ConfigurationError(
                f"There is no network {network!r}: {path} does not exist.",
                hint="Use `-n devnet` for the network on this machine, or write that file; docs/creator.md has an example.",
            )
        return path
    candidates = (Path(PROJECT_FILE), _devnet_file(required=False), user_folder() / "config.toml")
    return next((path for path in candidates if path is not None and path.is_file()), None)


def user_folder() -> Path:
    """Where a user keeps settings of networks."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "lilypad"


def _devnet_file(*, required: bool) -> Path | None:
    folder = find_folder(Path.cwd())
    if folder is not None:
        return folder / CREATOR_FILE
    if required:
        raise ConfigurationError(
            f"There is no devnet here: no folder {FOLDER_NAME} in {Path.cwd()} or above.",
            hint="Start one with `lilypad devnet up`.",
        )
    return None


def creator_settings(choice: Choice, **flags: Any) -> CreatorSettings:
    """The settings of a creator's command. Raises ConfigurationError, and what `AgentSettings.load` raises."""
    from lilypad_agents.agents.creator.settings import CreatorSettings

    file = settings_file(choice.network, choice.config)
    found = environment()
    if file is None and not choice.rpc and not any(name.startswith("LILYPAD_RPC") for name in found):
        raise ConfigurationError(
            "No network is configured here.",
            hint="Start one on this machine with `lilypad devnet up`, or name a settings file with --config.",
        )
    given = {"rpc": choice.rpc or None, "solvers": choice.solver or None, "password_file": choice.password_file or password_file(), **flags}
    return CreatorSettings.load(file=file, environment=found, flags=given)


def signer_for(choice: Choice, settings: CreatorSettings) -> Callable[[ChainId], Signer] | None:
    """What makes the key that the command line names; None: the settings name it. Raises when it is called."""
    account = choice.account or os.environ.get("LILYPAD_ACCOUNT")
    if choice.private_key is not None:
        return lambda chain_id: _raw_key(choice.private_key or "", chain_id)
    if account is None:
        return None
    return lambda chain_id: _named_key(account, choice, settings, chain_id)


def _raw_key(text: str, chain_id: ChainId) -> Signer:
    """A key on the command line stands in the shell's history and in the list of processes: play money only."""
    from lilypad_agents.chain.errors import KeyUnusable
    from lilypad_agents.chain.keys import LOCAL_CHAINS, LocalSigner, Secret

    if chain_id not in LOCAL_CHAINS:
        raise KeyUnusable(
            f"A private key on the command line is refused on chain {chain_id}: other programs and the shell's history see it.",
            hint="Keep it in a key file: `lilypad account import NAME`, then --account NAME.",
        )
    try:
        return LocalSigner(Secret(bytes.fromhex(text.removeprefix("0x"))))
    except ValueError:
        raise KeyUnusable("The private key is not 64 hexadecimal digits.") from None


def _named_key(account: str, choice: Choice, settings: CreatorSettings, chain_id: ChainId) -> Signer:
    from lilypad_agents.chain.keys import signer_from_ape, signer_from_keystore, signer_from_test_mnemonic

    index = test_index(account)
    if index is not None:
        return signer_from_test_mnemonic(index, chain_id)
    password = choice.password_file or password_file() or settings.password_file
    if account.startswith("ape:"):
        return signer_from_ape(Path.home() / ".ape", account[4:], _required(password, account))
    path = keystore_path(settings.keys, account)
    return signer_from_keystore(path, _required(password or _beside(path), account))


def test_index(account: str) -> int | None:
    """The index of the test mnemonic that `test:4`, `4` or a devnet role such as `creator` means; None for other names."""
    bare = account.removeprefix("test:")
    if bare.isascii() and bare.isdigit():
        return int(bare)
    return ROLES.get(account)


def keystore_path(keys: Path, account: str) -> Path:
    """The key file of a name, or the path itself where one is given. Raises UsageError for what is neither."""
    if "/" in account or account.endswith(".json"):
        return Path(account).expanduser()
    if not account or account.startswith(".") or not all(c.isalnum() or c in "-_." for c in account):
        raise UsageError(f"{account!r} is no account name: letters, digits, dash, underscore and dot only.")
    return keys / f"{account}.json"


def password_file() -> Path | None:
    found = os.environ.get("LILYPAD_PASSWORD_FILE")
    return Path(found).expanduser() if found else None


def _beside(keystore: Path) -> Path | None:
    """The password file that `lilypad account new` leaves beside a key file."""
    path = keystore.with_suffix(".password")
    return path if path.is_file() else None


def _required(path: Path | None, account: str) -> Path:
    from lilypad_agents.chain.errors import KeyUnusable

    if path is None:
        raise KeyUnusable(
            f"The account {account} needs a password file.", hint="Give --password-file FILE, or set LILYPAD_PASSWORD_FILE."
        )
    return path
