"""Curated lists: entries with labels and notes, and the root that resource offers name. beh:G10"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_utils import keccak

from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.merkle import MerkleTree
from tests.support.evm import Account, expect_revert
from tests.support.registry import Market, Version


@pytest.fixture
def curator(market: Market) -> Account:
    return market.account("curator")


@pytest.fixture
def trusted(market: Market, curator: Account) -> bytes:
    return bytes(market.modules.createList("trusted", sender=curator).value)


@pytest.fixture
def cowsay(market: Market, author: Account) -> Version:
    return market.published(author)


@pytest.fixture
def update(market: Market, curator: Account, trusted: bytes) -> Callable[..., Any]:
    """Changes the list as its curator; `added` are (version, label, note)."""

    def change(*added: tuple[Version, str, str], removed: tuple[str, ...] = (), root: bytes = ZERO, **options: Any) -> Any:
        entries = [(version.id, label, note) for version, label, note in added]
        return market.modules.updateList(trusted, list(removed), entries, root, **({"sender": curator} | options))

    return change


def entries_from(logs: list[Any]) -> dict[str, bytes]:
    """The list as a tool rebuilds it from the logs."""
    found: dict[str, bytes] = {}
    for log in logs:
        if log.name == "ListEntryAdded":
            found[log.args["label"]] = log.args["version"]
        elif log.name == "ListEntryRemoved":
            del found[log.args["label"]]
    return found


def test_create__list__belongs_to_its_curator(market: Market, curator: Account, trusted: bytes) -> None:
    assert tuple(market.modules.listOf(trusted)) == (curator.address, ZERO)
    with expect_revert("ListTaken", curator=curator):
        market.modules.createList("trusted", sender=curator)
    with expect_revert("TextInvalid"):
        market.modules.createList("Trusted!", sender=curator)


def test_create__same_name_by_another__is_another_list(market: Market, rival: Account, trusted: bytes) -> None:
    """inv:T26: no list name can be taken from anybody."""
    other = bytes(market.modules.createList("trusted", sender=rival).value)
    assert other != trusted and market.modules.listOf(other).curator == rival.address


def test_update__adds_removes_and_publishes__in_one_call(
    market: Market, author: Account, trusted: bytes, cowsay: Version, update: Callable[..., Any]
) -> None:
    """beh:G10: logs alone rebuild the list, and its root opens a deal through a resource offer."""
    newer = market.published(author, "cowsay", "v0.0.2")
    first = update((cowsay, "cowsay:v0.0.1", "deterministic"), root=MerkleTree.of([cowsay.id]).root)
    assert market.modules.listed(trusted, "cowsay:v0.0.1") == cowsay.id
    both = MerkleTree.of([cowsay.id, newer.id])
    second = update((newer, "cowsay:v0.0.2", "reviewed"), (cowsay, "moo:v1", "old"), removed=("cowsay:v0.0.1",), root=both.root)
    assert market.modules.listed(trusted, "cowsay:v0.0.1") == ZERO
    assert market.modules.listOf(trusted).root == both.root
    assert dict(second.event("ListRootPublished")) == {"list": trusted, "root": both.root}
    rebuilt = entries_from([*first.logs, *second.logs])
    assert rebuilt == {"cowsay:v0.0.2": newer.id, "moo:v1": cowsay.id}
    assert MerkleTree.of(rebuilt.values()).root == both.root


def test_update__label_moved_in_one_call__names_the_new_version(
    market: Market, author: Account, trusted: bytes, cowsay: Version, update: Callable[..., Any]
) -> None:
    newer = market.published(author, "cowsay", "v0.0.2")
    update((cowsay, "cowsay:stable", ""))
    update((newer, "cowsay:stable", ""), removed=("cowsay:stable",))
    assert market.modules.listed(trusted, "cowsay:stable") == newer.id


def test_update__label_taken__is_refused_whole(
    market: Market, author: Account, trusted: bytes, cowsay: Version, update: Callable[..., Any]
) -> None:
    """beh:G10: one label means one version in a list."""
    newer = market.published(author, "cowsay", "v0.0.2")
    update((cowsay, "cowsay:v0.0.1", ""), root=keccak(text="before"))
    with expect_revert("ListLabelTaken", label="cowsay:v0.0.1", version=cowsay.id):
        update((newer, "cowsay:v0.0.2", ""), (newer, "cowsay:v0.0.1", ""), root=keccak(text="after"))
    assert market.modules.listed(trusted, "cowsay:v0.0.2") == ZERO
    assert market.modules.listOf(trusted).root == keccak(text="before")


def test_update__label_unknown__is_refused(update: Callable[..., Any]) -> None:
    with expect_revert("ListLabelUnknown", label="cowsay:v0.0.1"):
        update(removed=("cowsay:v0.0.1",))


def test_update__version_unknown__is_refused(
    market: Market, author: Account, update: Callable[..., Any]
) -> None:
    """A typed-in digest that means nothing cannot get on a list."""
    with expect_revert("VersionUnknown"):
        update((market.version(author, "ghost"), "ghost:v1", ""))


@pytest.mark.parametrize(
    ("label", "index"),
    [("cowsay", 6), ("", 0), (":v1", 0), ("cowsay:", 7), ("Cow:v1", 0), ("cow:v 1", 5), ("cow:v1:2", 6), ("c" * 64 + ":1", 64)],
)
def test_update__label_outside_the_grammar__is_refused(
    cowsay: Version, update: Callable[..., Any], label: str, index: int
) -> None:
    with expect_revert("TextInvalid", text=label, index=index):
        update((cowsay, label, ""))


def test_update__by_anybody_else__is_refused(
    market: Market, rival: Account, curator: Account, cowsay: Version, update: Callable[..., Any]
) -> None:
    """inv:T30"""
    with expect_revert("ListNotYours", curator=curator, caller=rival):
        update((cowsay, "cowsay:v1", ""), sender=rival)
    with expect_revert("ListNotYours", curator=NOBODY):
        market.modules.updateList(b"\x01" * 32, [], [], ZERO, sender=rival)


def test_transfer__list__hands_it_over(
    market: Market, rival: Account, curator: Account, trusted: bytes, cowsay: Version, update: Callable[..., Any]
) -> None:
    """As to a timelock that many govern: entries and root stay."""
    update((cowsay, "cowsay:v1", ""), root=keccak(text="root"))
    with expect_revert("ListNotYours"):
        market.modules.transferList(trusted, rival, sender=rival)
    with expect_revert("AccountInvalid", account=NOBODY):
        market.modules.transferList(trusted, NOBODY, sender=curator)
    market.modules.transferList(trusted, rival, sender=curator)
    assert tuple(market.modules.listOf(trusted)) == (rival.address, keccak(text="root"))
    assert market.modules.listed(trusted, "cowsay:v1") == cowsay.id
    with expect_revert("ListNotYours", caller=curator):
        update(removed=("cowsay:v1",))
    update(removed=("cowsay:v1",), sender=rival)
    with expect_revert("ListTaken", curator=rival):
        market.modules.createList("trusted", sender=curator)


def test_root__named_by_a_resource_offer__admits_listed_versions_only(
    market: Market, author: Account, cowsay: Version, update: Callable[..., Any], trusted: bytes
) -> None:
    """beh:G10: the core checks the same tree that the list publishes."""
    other = market.published(author, "other")
    stranger = market.published(author, "stranger")
    tree = MerkleTree.of([cowsay.id, other.id])
    update((cowsay, "cowsay:v1", ""), (other, "other:v1", ""), root=tree.root)
    root = bytes(market.modules.listOf(trusted).root)
    for version, admitted in ((cowsay, True), (other, True), (stranger, False)):
        proof = tree.proof(version.id if admitted else cowsay.id)
        pair = market.offers(version.terms, 10**18)
        resource = replace(pair.resource, modules=root)
        pair = pair._replace(
            resource=resource, resource_signature=market.sign(resource, market.provider), membership=proof
        )
        if admitted:
            market.core.open(market.opening(pair))
        else:
            with expect_revert("ModuleNotOffered", modules=root):
                market.core.open(market.opening(pair))
