"""anvil, the chain of the development network and of most tests: where its native binary is, and its options."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lilypad_agents.chain.development import DevelopmentChain, free_port
from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.types import ChainId

__all__ = ["Anvil", "AnvilConfig", "find_anvil", "free_port"]


@dataclass(frozen=True)
class AnvilConfig:
    """Options of a chain. `port` 0 takes a free one; `block_time_s` None mines only when a transaction comes.

    `mixed_mining` mines on transactions as well as on time. `state_file` is loaded if it exists and written whole every
    `state_interval_s` and at a clean stop: after some thousand jobs that is 100 MB and half a second in which the chain
    answers nobody. Of the states of past blocks anvil holds some in memory and writes
    `states_on_disk` more, beside `state_file` if there is one: left alone it writes 3,600, gigabytes in the user's home,
    which stay there when it is killed.
    """

    port: int = 0
    chain_id: ChainId = ChainId(1337)
    block_time_s: int | None = None
    mixed_mining: bool = False
    state_file: Path | None = None
    state_interval_s: int = 30
    states_on_disk: int = 128
    hardfork: str = "prague"
    accounts: int = 20
    host: str = "127.0.0.1"
    slots_in_an_epoch: int | None = None
    extra: tuple[str, ...] = ()

    @property
    def keeps(self) -> Path | None:
        return None if self.state_file is None else self.state_file.parent

    def arguments(self, port: int) -> list[str]:
        """The command line after the program."""
        values = [
            "--quiet",  # errors at the start are written all the same; it would log each request: megabytes a minute
            "--host",
            self.host,
            "--port",
            str(port),
            "--chain-id",
            str(self.chain_id),
            "--hardfork",
            self.hardfork,
        ]
        values += ["--accounts", str(self.accounts)]
        if self.block_time_s is not None:
            values += ["--block-time", str(self.block_time_s)]
        if self.mixed_mining:
            values.append("--mixed-mining")
        if self.state_file is not None:
            values += ["--state", str(self.state_file), "--state-interval", str(self.state_interval_s)]
            values += ["--cache-path", str(_past_states(self.state_file))]
        values += ["--max-persisted-states", str(self.states_on_disk)]
        if self.slots_in_an_epoch is not None:
            values += ["--slots-in-an-epoch", str(self.slots_in_an_epoch)]
        return [*values, *self.extra]


def find_anvil(project: Path | None, search_path: str = "") -> Path:
    """The native binary: of the npm package in `project`, else on `search_path` (a PATH string).

    Raises DevelopmentChainFailed. The npm launcher in `.bin` is passed over: killing it leaves the chain running.
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    if project is not None:
        binary = project / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
        if os.access(binary, os.X_OK):
            return binary
    for folder in filter(None, search_path.split(os.pathsep)):
        binary = Path(folder) / "anvil"
        if os.access(binary, os.X_OK) and "node_modules" not in binary.resolve().parts:
            return binary
    raise DevelopmentChainFailed(f"The chain program anvil is missing (npm package @foundry-rs/{package}).")


class Anvil(DevelopmentChain):
    """A running anvil."""

    def __init__(self, binary: Path, config: AnvilConfig | None = None, log_file: Path | None = None) -> None:
        config = config or AnvilConfig()
        super().__init__(binary, config, log_file)
        self._state_file = config.state_file

    def start(self, *, detach: bool = False, timeout_s: float = 15.0) -> Self:
        if self._state_file is not None:
            _keep_first_genesis(self._state_file)
            shutil.rmtree(_past_states(self._state_file), ignore_errors=True)  # of a chain that was killed
        return super().start(detach=detach, timeout_s=timeout_s)


def _past_states(state_file: Path) -> Path:
    return state_file.parent / "states"


def _keep_first_genesis(state_file: Path) -> None:
    """Takes every block 0 but the oldest out of a saved chain.

    Each start makes one, and saves it beside that of the chain it loaded. The next start takes any of them for the first
    block, so from the third on the chain would look like another. Raises DevelopmentChainFailed where the file is cut off,
    since anvil writes it in place; a form that is unknown is left for anvil to refuse.
    """
    try:
        document = json.loads(state_file.read_bytes())
    except OSError:  # there is none, or anvil says why it cannot be read
        return
    except ValueError:
        raise DevelopmentChainFailed(
            f"What the chain saved in {state_file} cannot be read: it was killed while it wrote that file.",
            hint="`lilypad devnet reset` starts anew; what was on that chain is lost.",
        ) from None
    try:
        blocks = document["blocks"]
        first = [block for block in blocks if int(block["header"]["number"], 16) == 0]
        oldest = min(first, key=lambda block: int(block["header"]["timestamp"], 16))
    except (ValueError, KeyError, TypeError):
        return
    if len(first) == 1:
        return
    document["blocks"] = [oldest, *(block for block in blocks if int(block["header"]["number"], 16) != 0)]
    new = state_file.with_suffix(".new")
    new.write_text(json.dumps(document), encoding="utf-8")
    new.replace(state_file)
