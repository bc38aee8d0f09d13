"""A consumer's unit test, as docs/dapp-developer.md shows it: Ape, no network, the mock market. beh:F16"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import ape
import pytest
from ape.contracts import ContractContainer
from ethpm_types import ContractType

from tests.support.evm import BUILD

LINES = 15


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The build as it is: Ape's own project compiles our files without contracts at each look-up, and rewrites the build.

    Gas limits as in a new Ape project (`max`); this repository's own setting has Ape search for each limit, which runs
    every transaction thirteen times more.
    """
    monkeypatch.setattr(type(ape.networks.active_provider.network), "gas_limit", "max")
    types = json.loads(BUILD.read_text(encoding="utf-8"))["contractTypes"]
    names = ("MockLilypad", "PriceFeed")
    return SimpleNamespace(**{name: ContractContainer(ContractType.model_validate(types[name])) for name in names})


# --- as a consumer writes it
def test_feed_takes_an_answer(project, accounts):
    owner, token, module = accounts[0], accounts[1], b"\x01" * 32
    market = owner.deploy(project.MockLilypad)
    terms = (module, token, 10**18, 0, 100, 64, 1, 0, 0, 0, 60, 60, 10_000, 0, bytes(32), token, 0, token, 0, 0)
    feed = owner.deploy(project.PriceFeed, market, terms, 600)
    market.give(token, feed, 10**18, sender=owner)

    request = feed.update(sender=owner).events.filter(feed.RoundAsked)[0].requestId
    market.fulfil(request, 0, b"4200\n", sender=owner)
    assert feed.read().value == 4200
# --- end


def test_the_consumers_test__has_at_most_15_lines() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    body = text.split("# --- as a consumer writes it\n")[1].split("# --- end")[0]
    assert 0 < len([line for line in body.splitlines() if line.strip()]) <= LINES
