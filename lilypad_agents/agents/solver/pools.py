"""Terms of pools by their id, wherever they can be had: settings, offers in the book, or whoever staked in the pool.

A request on chain and a resource offer name a pool by its id only. The id is the hash of the terms, so it does not matter
who tells them; the calldata of anybody who staked holds them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice

from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.solver.book import OfferBook
from lilypad_agents.chain.abi import Function
from lilypad_agents.chain.codec import to_bytes
from lilypad_agents.chain.errors import AbiError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import PoolId
from lilypad_agents.protocol.terms import PoolTerms

_EVENT = "Staked"
_MOST_LOOKS = 16  # transactions of one pool that are read at a time; stakes made by contracts do not show the terms
_MOST_KNOWN = 10_000


class KnownPools:
    """Thread safe. `panels` None: the deployment has no pools that anybody stakes in."""

    def __init__(self, rpc: Rpc, book: OfferBook, panels: Panels | None, named: Iterable[PoolTerms] = ()) -> None:
        self._rpc = rpc
        self._book = book
        self._panels = panels
        self._named = {pool.id: pool for pool in named}
        self._found: dict[PoolId, PoolTerms] = {}
        self._read: dict[PoolId, set[bytes]] = {}  # transactions that did not show them
        self._lock = threading.Lock()

    def terms(self, pool: PoolId) -> PoolTerms | None:
        """None where nobody showed them. Raises ChainUnreachable, RpcError."""
        known = self._named.get(pool) or self._found.get(pool) or self._book.pool_terms(pool)
        if known is not None or self._panels is None:
            return known
        with self._lock:
            found = self._of_stakes(self._panels, pool)
            if found is not None and len(self._found) < _MOST_KNOWN:
                self._found[pool] = found
            return found

    def _of_stakes(self, panels: Panels, pool: PoolId) -> PoolTerms | None:
        functions = {function.selector: function for function in panels.staking.abi.functions["stake"]}
        read = self._read.setdefault(pool, set())
        stakes = (event.transaction_hash for event in panels.cursor.events(_EVENT, topic1=pool))
        for transaction in list(islice((found for found in stakes if found not in read), _MOST_LOOKS)):
            found = self._of_transaction(functions, transaction)
            if found is not None and found.id == pool:
                del self._read[pool]
                return found
            read.add(transaction)
        if not read:
            del self._read[pool]
        return None

    def _of_transaction(self, functions: dict[bytes, Function], transaction: bytes) -> PoolTerms | None:
        found = self._rpc.request("eth_getTransactionByHash", "0x" + transaction.hex())
        calldata = to_bytes(found["input"]) if isinstance(found, dict) and "input" in found else b""
        function = functions.get(calldata[:4])
        if function is None:
            return None
        try:
            values = function.decode_arguments(calldata)[0]
            return PoolTerms(**dict(zip((member.attribute for member in PoolTerms.TYPE.members), values, strict=True)))
        except (AbiError, FieldInvalid, TypeError, ValueError):
            return None
