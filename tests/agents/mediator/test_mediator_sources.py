"""Where a mediator finds content when no relay has it: at the provider's own endpoint, which knows who sits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.gateway import Gateway
from lilypad_agents.agents.provider.library import MODULE_PINS
from lilypad_agents.agents.provider.results import Opening
from lilypad_agents.agents.provider.store import ProviderStore, StoredResult
from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import read_file, read_tree
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Phase
from lilypad_agents.protocol.units import Timestamp, Units
from tests.agents.mediator.court import Case, Court
from tests.support.network import signer


class Endpoint:
    """The provider's gateway over a store of its own, without the rest of a provider."""

    def __init__(self, court: Court, folder: Path) -> None:
        settings = ProviderSettings(
            data=folder, state=folder / "state", rpc=court.network.rpc.config.urls, address_book=court.network.book_path,
            log_stderr=False, durable_content=False,
        )  # fmt: skip
        self.court = court
        self.context = AgentContext.open(settings, signer=court.provider)
        self.store = ProviderStore(self.context.database)
        self.gateway = Gateway(self.context, self.store, "127.0.0.1", 0).start()
        court.network.send(court.provider_index, "LilypadUsers", "join", 2, bytes(32), [self.gateway.url])

    def follow(self) -> None:
        self.context.head = self.context.cursor.advance().head
        self.context.deals.follow()

    def take(self, case: Case) -> None:
        """Holds what a provider holds of a deal, and takes it from the relay."""
        self.follow()
        here, there = self.context.store, self.court.relay.store
        manifest = self.court.module()[0]
        wasm = Cid.parse(manifest.wasm.module)
        for cid in (Cid.raw(manifest.digest), wasm):
            add_bytes(here, read_file(there, cid, 1 << 26))
            here.pin(cid, MODULE_PINS)
        add_bytes(here, there.get(Cid.raw(case.deal.inputs)))
        data = put_tree(here, read_tree_of(there, Cid.dag_pb(case.data)))
        receipt = add_bytes(here, b"receipt")
        opening = Opening(case.opened, case.salt, data, Units(0))
        self.store.add_result(case.id, StoredResult(opening, receipt, b"receipt", Timestamp(0)))

    def close(self) -> None:
        self.gateway.stop()
        self.context.close()


def read_tree_of(store: object, root: Cid) -> dict[str, object]:
    """Folders and files of a tree as `put_tree` takes them."""
    return dict(read_tree(store, root, Limits()))  # type: ignore[arg-type]


@pytest.fixture
def endpoint(court: Court, tmp_path: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint(court, tmp_path / "endpoint")
    yield endpoint
    endpoint.close()


def test_provider__serves_from_its_own_endpoint__seats_find_it_and_see_no_result_too_early(
    court: Court, endpoint: Endpoint
) -> None:
    """beh:D14 beh:I3 flt:F32 No relay has anything; the directory on chain says where the provider answers."""
    seated = court.mediator()
    case = court.submitted("own endpoint")
    endpoint.take(case)
    court.relay.faults.add("no content")

    def may(key: LocalSigner, root: Cid) -> bool:
        request = httpx.Request("GET", f"{endpoint.gateway.url}/ipfs/{root}?format=car")
        http_signature.sign(request, key, int(time.time()))
        with httpx.Client(trust_env=False) as http:
            return http.send(request).status_code == 200

    inputs, result, stranger = Cid.raw(case.deal.inputs), Cid.dag_pb(case.data), signer(299)
    assert may(court.creator, result) and not may(seated.key, result) and not may(seated.key, inputs)
    court.challenge(case)
    endpoint.follow()
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.COMMIT)
    assert may(seated.key, inputs) and not may(seated.key, result)
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.OPEN)
    assert may(seated.key, result)
    assert not may(stranger, inputs) and not may(stranger, result)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert all(vote["served"] for vote in court.events("Revealed", case))
