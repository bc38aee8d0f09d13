"""Publishing the example modules: packed from their folders, registered on chain, and put into the creators' list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lilypad_agents.agents.creator.aliases import document_of
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.content.blocks import Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import HashOnly, add_bytes
from lilypad_agents.devnet.errors import ModulesMissing
from lilypad_agents.devnet.layout import CHAIN_ID, PUBLISHER
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.execution.pack import MANIFEST_NAME, PackedModule, pack
from lilypad_agents.protocol.terms import ModuleTerms

LIST_NAME = "devnet"
PUBLISHER_ALIAS = "lilypad"


@dataclass(frozen=True)
class Published:
    """A module of the devnet. `roots`: content that must be public: manifest, artefact, other files."""

    packed: PackedModule
    terms: ModuleTerms
    roots: tuple[Cid, ...]

    @property
    def label(self) -> str:
        return f"{self.packed.manifest.name}:{self.packed.manifest.version}"


def pack_modules(folder: Path, publisher: str, store: Store) -> list[Published]:
    """All modules below `folder`, packed, with their content in the store. Raises ModulesMissing, ManifestInvalid."""
    sources = sorted(path.parent for path in folder.glob(f"*/{MANIFEST_NAME}"))
    if not sources:
        raise ModulesMissing(f"There are no modules in {folder}.")
    return [_packed(source, publisher, store) for source in sources]


def register(chain: CreatorChain, modules: Iterable[Published]) -> list[str]:
    """Registers what the registry does not have yet; returns the labels that were new."""
    sender = RpcSender(chain.rpc, signer_from_test_mnemonic(PUBLISHER, ChainId(CHAIN_ID)), ChainId(CHAIN_ID))
    new = []
    for module in modules:
        manifest = module.packed.manifest
        if chain.version_of(module.terms.publisher, manifest.name, manifest.version) == module.terms.id:
            continue
        call = chain.registry.encode("publish", module.terms, manifest.name, manifest.version, 0, 0)
        sender.send(chain.registry.address, call)
        new.append(module.label)
    return new


def write_list(path: Path, modules: Iterable[Published], publisher: str) -> None:
    """The curated list that creators of this devnet trust."""
    entries: Mapping[str, tuple[ModuleTerms, str]] = {
        module.label: (module.terms, "example of this checkout") for module in modules
    }
    document = document_of(LIST_NAME, entries, {PUBLISHER_ALIAS: publisher})
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())


def _packed(source: Path, publisher: str, store: Store) -> Published:
    packed = pack(source, publisher, content_cid=lambda data: str(add_bytes(HashOnly(), data)))
    terms = terms_of(packed.manifest)
    roots = [add_bytes(store, packed.manifest_bytes), *(add_bytes(store, data) for data in packed.contents.values())]
    return Published(packed, terms, tuple(dict.fromkeys(roots)))
