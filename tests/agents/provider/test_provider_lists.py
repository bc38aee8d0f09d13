"""A provider and a solver that trust curated lists: offers name the list's root, orders of others are not taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.runtime.lists import list_id, root_of
from lilypad_agents.agents.solver.errors import OfferRefused
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.terms import ModuleTerms, name_hash
from tests.agents.provider.harness import Stage
from tests.support.network import Network, signer
from tests.support.solver import eventually, open_solver

CURATOR = 21


class Curated:
    """A list on chain with two modules of its own curator; `name` is fresh for each test."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.account = Address(signer(CURATOR).address)
        self.id = list_id(self.account, name)
        network.rpc.request("anvil_setBalance", self.account, hex(10**20))
        network.send(CURATOR, "LilypadModules", "createList", name)
        self.modules = [self._published(f"{name}-{number}") for number in range(2)]

    def _published(self, name: str) -> ModuleTerms:
        terms = self.network.module(publisher=self.account, name_hash=name_hash(name, "v1"), royalty_to=self.account)
        self.network.send(CURATOR, "LilypadModules", "publish", terms, name, "v1", 0, 0)
        return terms

    def publish(self, removed: list[str], added: list[int], root: bytes) -> None:
        entries = [(self.modules[number].id, f"m{number}:v1", "note") for number in added]
        self.network.send(CURATOR, "LilypadModules", "updateList", self.id, removed, entries, root)

    @property
    def text(self) -> str:
        return f"{self.account}/{self.name}"

    @property
    def roots(self) -> list[bytes]:
        """Of the first module alone, and of both."""
        return [root_of([self.modules[0].id]), root_of(module.id for module in self.modules)]


def _offered(stage: Stage) -> set[bytes]:
    return {bytes(offer.modules) for offer, _ in stage.relay.offers.values()}


def test_provider__with_a_list__offers_what_it_holds_and_names_its_root(stage: Stage) -> None:
    """beh:G10: as the list changes; one whose root does not fit its entries counts as empty."""
    curated = Curated(stage.network, "follow")
    curated.publish([], [0], curated.roots[0])
    life = stage.start(lists=(curated.text,))
    life.until(lambda: _offered(stage) == {curated.roots[0]})
    curated.publish([], [1], curated.roots[1])
    life.until(lambda: _offered(stage) == {curated.roots[1]})
    curated.publish(["m1:v1"], [], curated.roots[1])  # entries of one, root of two
    life.until(lambda: _offered(stage) == set())
    assert stage.lines.named("list_not_sound")[-1] == {"list": curated.text, "exists": True}
    curated.publish([], [], curated.roots[0])
    life.until(lambda: _offered(stage) == {curated.roots[0]})


def test_provider__list_that_does_not_exist__offers_nothing(stage: Stage) -> None:
    life = stage.start(lists=(f"{signer(CURATOR).address}/nobody-made-it",))
    life.until(lambda: bool(stage.lines.named("list_not_sound")))
    life.turn(3)
    assert _offered(stage) == set()


@pytest.mark.parametrize("text", ["good", "./list.json", "0x12/good", f"{signer(CURATOR).address}/Good"])
def test_config__what_names_no_list__is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="lists"):
        ProviderConfig(lists=(text,))


def test_solver__with_a_list__takes_orders_of_its_modules_only(network: Network, tmp_path: Path) -> None:
    """beh:G10"""
    curated = Curated(network, "orders")
    curated.publish([], [0], curated.roots[0])
    creator = signer(22)
    network.rpc.request("anvil_setBalance", creator.address, hex(10**20))
    network.fund([creator.address])
    solver = open_solver(network, tmp_path / "solver", lists=(curated.text,)).start()
    try:
        eventually(lambda: solver.client(creator).info().ready)
        solver.offer_job(creator, curated.modules[0])
        with pytest.raises(OfferRefused, match="on none of the lists") as caught:
            solver.offer_job(creator, curated.modules[1])
        assert json.loads(json.dumps(caught.value.figures))["refusals"][0]["error"] == "ModuleNotListed"
    finally:
        solver.stop()


def test_solver__setting_that_names_no_list__does_not_start(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="names no list"):
        open_solver(network, tmp_path / "solver", lists=("good",))
