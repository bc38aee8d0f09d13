"""The devnet's own notes, `devnet.json`: which processes it started and where they listen. Written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lilypad_agents.devnet.errors import DevnetNotRunning
from lilypad_agents.devnet.processes import Identity
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.execution.cache import write_atomically

SCHEMA = "lilypad/devnet@1"


@dataclass(frozen=True)
class Part:
    """One process of the devnet. `url`: where it listens, empty when it does not; `account`: index of the test mnemonic."""

    name: str
    identity: Identity
    url: str = ""
    log: str = ""
    account: int | None = None
    folder: str = ""


@dataclass(frozen=True)
class Record:
    """All that a command needs to use the devnet. `port` and program (`chain`) of the chain are kept over restarts."""

    port: int
    rpc_url: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    ready: bool = False
    chain: str = "anvil"

    @property
    def solver_url(self) -> str:
        """Raises DevnetNotRunning when there is no solver."""
        part = self.parts.get("solver")
        if part is None or not part.url:
            raise DevnetNotRunning("The devnet has no solver yet.")
        return part.url

    def with_part(self, part: Part) -> Record:
        return replace(self, parts=MappingProxyType({**self.parts, part.name: part}))

    def without(self, name: str) -> Record:
        return replace(self, parts=MappingProxyType({key: part for key, part in self.parts.items() if key != name}))

    def alive(self, name: str) -> bool:
        part = self.parts.get(name)
        return part is not None and part.identity.alive

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name, part in self.parts.items() if part.identity.alive)

    # ---- file

    def save(self, path: Path) -> None:
        document = {
            "schema": SCHEMA,
            "port": self.port,
            "rpcUrl": self.rpc_url,
            "ready": self.ready,
            "chain": self.chain,
            "parts": {
                name: {
                    **part.identity.to_json(),
                    "url": part.url,
                    "log": part.log,
                    "account": part.account,
                    "folder": part.folder,
                }
                for name, part in self.parts.items()
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """None when there is none. Raises ConfigurationError when it is malformed."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise ValueError(f"its schema is {document['schema']!r}")
            return cls._parse(document)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"The devnet's notes {path} cannot be read ({error!r}).",
                hint="`lilypad devnet reset` starts from nothing; stop processes of the old devnet by hand first.",
            ) from error

    @classmethod
    def _parse(cls, document: Mapping[str, Any]) -> Record:
        parts = {
            name: Part(
                name,
                Identity.from_json(entry),
                str(entry["url"]),
                str(entry["log"]),
                None if entry["account"] is None else int(entry["account"]),
                str(entry["folder"]),
            )
            for name, entry in document["parts"].items()
        }
        return cls(int(document["port"]), str(document["rpcUrl"]), MappingProxyType(parts), bool(document["ready"]), str(document.get("chain", "anvil")))
