"""An outbox belongs to one key on one chain with one genesis; stored bytes never reach another."""

from __future__ import annotations

from lilypad_agents.chain.errors import ChainReset
from lilypad_agents.chain.outbox_store import OutboxStore
from lilypad_agents.chain.types import ChainId
from lilypad_agents.errors import ConfigurationError


def bind_to_key(store: OutboxStore, identity: str) -> None:
    """Remembers `identity` (chain id and account) on first use. Raises ConfigurationError for another one later."""
    stored = store.meta("identity")
    if stored is None:
        store.set_meta("identity", identity)
    elif stored != identity:
        raise ConfigurationError(
            f"The database holds the transactions of {stored} (chain:account), not of {identity}.",
            hint="Give each key and chain its own data folder.",
        )


def require_genesis(store: OutboxStore, genesis: bytes, chain_id: ChainId) -> None:
    """Raises ChainReset when the chain was started anew under the same id: its nonces would fit the old bytes."""
    found, stored = genesis.hex(), store.meta("genesis")
    if stored is None:
        store.set_meta("genesis", found)
    elif stored != found:
        raise ChainReset(
            f"The chain {chain_id} was started anew; the outbox holds transactions of the old one.",
            expected="0x" + stored,
            found="0x" + found,
        )
