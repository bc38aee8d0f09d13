"""What tests of consent share: pairs with signatures of choice, and whom a signature speaks for."""

from __future__ import annotations

from typing import Any


from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.opening import Pair, opening_of
from tests.support.world import World

HASH = keccak256(b"some struct hash")


def speaker(world: World, account: Any, signature: bytes, scope: int = 1, sender: Any = None) -> str:
    return world.core.consentOf(account, HASH, signature, scope, sender=sender)


def digest(world: World) -> bytes:
    return world.domain.digest(HASH)


def open_pair(world: World, pair: Pair, sender: Any = None) -> Any:
    return world.core.open(opening_of([pair]), sender=sender or world.solver)


def signed_by(world: World, pair: Pair, *, job: bytes | None = None, resource: bytes | None = None) -> Pair:
    return pair._replace(
        job_signature=pair.job_signature if job is None else job,
        resource_signature=pair.resource_signature if resource is None else resource,
    )
