"""Publishing: a name under an account, versions for ever. beh:G5 beh:G6 inv:T26 inv:I27"""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils import keccak

from lilypad_agents.protocol.ids import NOBODY, ZERO
from tests.support.evm import Account, expect_revert
from tests.support.registry import Market, Version

EMPTY_NAME = bytes(24)


def record(market: Market, version: Version) -> tuple[object, ...]:
    return tuple(market.modules.recordOf(version.id))


def test_publish__first_under_a_name__creates_name_and_version(market: Market, author: Account) -> None:
    """beh:G5: nobody's permission; the id is the hash of the terms; logs alone tell all."""
    made = market.version(author, fork_share_bps=700)
    receipt = market.publish(made, author)
    name = market.modules.nameIdOf(author, "cowsay")
    assert receipt.value == made.id
    assert dict(receipt.event("NameCreated")) == {"name": name, "publisher": author.address, "text": "cowsay"}
    event = receipt.event("VersionPublished")
    assert (event["version"], event["name"], event["publisher"]) == (made.id, name, author.address)
    assert (event["nameText"], event["versionText"], event["by"]) == ("cowsay", "v0.0.1", author.address)
    assert (event["parentShareBps"], event["forkShareBps"]) == (0, 700)
    assert tuple(event["terms"])[:3] == (author.address, made.terms.name_hash, made.terms.manifest)
    assert tuple(market.modules.nameOf(name)) == (author.address, NOBODY, author.address)
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == made.id
    assert record(market, made) == (name, 0, 700, 0, False)


def test_publish__next_version__joins_the_name(market: Market, author: Account) -> None:
    first = market.published(author)
    receipt = market.publish(market.version(author, "cowsay", "v0.0.2"), author)
    assert receipt.events("NameCreated") == []
    assert receipt.event("VersionPublished")["name"] == record(market, first)[0]


def test_publish__unregistered_name__reads_as_nothing(market: Market, author: Account) -> None:
    made = market.version(author)
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == ZERO
    assert record(market, made) == (EMPTY_NAME, 0, 0, 0, False)
    assert tuple(market.modules.nameOf(market.modules.nameIdOf(author, "cowsay"))) == (NOBODY, NOBODY, NOBODY)


# ---- names are nobody else's


def test_publish__copied_from_the_pool_of_transactions__takes_nothing(
    market: Market, author: Account, rival: Account
) -> None:
    """inv:T26 beh:G5: the very same call from another account fails, before and after, and the author's still succeeds."""
    made = market.version(author)
    with expect_revert("NameNotYours", owner=author, caller=rival):
        market.publish(made, rival)
    market.publish(made, author)
    with expect_revert("NameNotYours", owner=author, caller=rival):
        market.publish(made, rival)


def test_publish__copied_under_the_rivals_own_account__is_another_version_of_another_name(
    market: Market, author: Account, rival: Account
) -> None:
    """inv:T26: what a front-runner can register is under its own account and leaves the author everything."""
    copy = market.version(rival, manifest=market.version(author).terms.manifest)
    market.publish(copy, rival)
    mine = market.published(author)
    assert mine.id != copy.id
    assert record(market, mine)[0] != record(market, copy)[0]
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == mine.id


def test_publish__terms_that_name_another_publisher__are_refused(
    market: Market, author: Account, rival: Account
) -> None:
    """inv:T30: nobody publishes in somebody else's name."""
    made = market.version(author)
    with expect_revert("NameNotYours", caller=rival):
        market.publish(made, rival)


def test_publish__same_terms_again__changes_nothing(market: Market, author: Account) -> None:
    """beh:K14 inv:I27: a repeated transaction is refused by the version it would make."""
    made = market.published(author)
    before = record(market, made)
    with expect_revert("VersionTaken", publisher=author, nameHash=made.terms.name_hash, version=made.id):
        market.publish(replace(made, parent_share_bps=0, fork_share_bps=9_999), author)
    assert record(market, made) == before


def test_publish__other_content_under_a_taken_label__is_refused(market: Market, author: Account) -> None:
    """beh:G6 inv:I27: a version is permanent; there is no moved tag."""
    made = market.published(author)
    other = market.version(author, manifest=b"\x99" * 32)
    with expect_revert("VersionTaken", version=made.id):
        market.publish(other, author)
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == made.id


# ---- the grammar of names


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("", 0), ("-cow", 0), ("Cowsay", 0), ("cow_say", 3), ("cow say", 3), ("cow:say", 3), ("cow/say", 3), ("cow.say", 3),
        ("cowsay\0", 6), ("cows\u0430y", 4), ("c" * 64, 64),
    ],
)  # fmt: skip
def test_publish__name_outside_the_grammar__is_refused_at_the_byte(
    market: Market, author: Account, name: str, index: int
) -> None:
    """beh:K1: no two names look alike by odd characters, and a colon cannot shift between name and version."""
    made = market.version(author, name)
    with expect_revert("TextInvalid", text=name, index=index):
        market.publish(made, author)


@pytest.mark.parametrize(
    ("version", "index"),
    [("", 0), (".1", 0), ("-rc", 0), ("+1", 0), ("_1", 0), ("v1:2", 2), ("v 1", 1), ("v1/2", 2), ("v1\n", 2), ("v" * 65, 65)],
)
def test_publish__version_outside_the_grammar__is_refused_at_the_byte(
    market: Market, author: Account, version: str, index: int
) -> None:
    with expect_revert("TextInvalid", text=version, index=index):
        market.publish(market.version(author, "cowsay", version), author)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("c", "1"), ("0", "v0.0.15-rc3"), ("c" * 63, "V" * 64), ("a-b-c", "1.0-base-lilypad3"), ("9z", "A.b_c+d-e"),
        ("llama3-8b", "f" * 40),
    ],
)  # fmt: skip
def test_publish__names_that_modules_really_have__are_taken(
    market: Market, author: Account, name: str, version: str
) -> None:
    made = market.published(author, name, version)
    assert market.modules.versionOf(author, name, version) == made.id


def test_publish__every_byte__is_allowed_exactly_by_the_grammar(market: Market, author: Account) -> None:
    """The sets of characters, byte by byte, against their definition."""
    lower, digits = set(b"abcdefghijklmnopqrstuvwxyz"), set(b"0123456789")
    names = lower | digits | set(b"-")
    versions = names | set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ._+")
    for byte in range(128):
        made = market.version(author, f"c{chr(byte)}", "1")
        other = market.version(author, "c", f"1{chr(byte)}")
        for candidate, allowed in ((made, byte in names), (other, byte in versions)):
            with market.evm.snapshot():
                if allowed:
                    market.publish(candidate, author)
                else:
                    with expect_revert("TextInvalid", index=1):
                        market.publish(candidate, author)


def test_publish__hash_of_another_label__is_refused(market: Market, author: Account) -> None:
    made = market.version(author, "cowsay", "v0.0.1", name_hash=keccak(text="cowsay:v0.0.2"))
    with expect_revert("NameHashMismatch", found=keccak(text="cowsay:v0.0.2"), needed=keccak(text="cowsay:v0.0.1")):
        market.publish(made, author)


# ---- terms that could never serve


def test_publish__no_manifest__is_refused(market: Market, author: Account) -> None:
    with expect_revert("ManifestMissing"):
        market.publish(market.version(author, manifest=ZERO), author)


@pytest.mark.parametrize(
    ("field", "most"), [("royalty_bps", 3_000), ("min_audit_bps", 10_000)], ids=["royalty", "audit"]
)
def test_publish__rate_at_and_above_its_bound(market: Market, author: Account, field: str, most: int) -> None:
    """beh:B8: what the core would refuse for ever is refused here, before anything is permanent."""
    with expect_revert("BpsTooHigh", found=most + 1, most=most):
        market.publish(market.version(author, **{field: most + 1}), author)
    market.publish(market.version(author, **{field: most}), author)


@pytest.mark.parametrize("share", ["parent_share_bps", "fork_share_bps"])
def test_publish__share_above_all__is_refused(market: Market, author: Account, share: str) -> None:
    parent = market.published(author)
    made = market.version(author, "fork", parent=parent, **{share: 10_001})
    with expect_revert("BpsTooHigh", found=10_001, most=10_000):
        market.publish(made, author)
    market.publish(replace(made, **{share: 10_000}), author)


def test_publish__royalty_to_nobody__is_refused(market: Market, author: Account) -> None:
    """beh:A4: income without an owner would wait in the core for ever."""
    with expect_revert("AccountInvalid", account=NOBODY):
        market.publish(market.version(author, royalty_to=NOBODY), author)
    market.publish(market.version(author, royalty_to=NOBODY, royalty_bps=0), author)


# ---- lineage


def test_publish__fork__records_depth_and_share(market: Market, author: Account, rival: Account) -> None:
    parent = market.published(author, fork_share_bps=2_000)
    fork = market.published(rival, "fork", parent=parent, parent_share_bps=2_000)
    assert record(market, fork)[1:4] == (2_000, 0, 1)


def test_publish__fork_that_gives_less_than_its_parent_asked__is_refused(
    market: Market, author: Account, rival: Account
) -> None:
    parent = market.published(author, fork_share_bps=2_000)
    fork = market.version(rival, "fork", parent=parent, parent_share_bps=1_999)
    with expect_revert("ParentShareTooLow", parent=parent.id, found=1_999, least=2_000):
        market.publish(fork, rival)


def test_publish__fork_of_something_unregistered__is_refused(market: Market, author: Account) -> None:
    ghost = market.version(author, "ghost")
    with expect_revert("VersionUnknown", version=ghost.id):
        market.publish(market.version(author, "fork", parent=ghost), author)


def test_publish__share_for_a_parent_that_is_not_named__is_refused(market: Market, author: Account) -> None:
    with expect_revert("ParentMissing", parentShareBps=1):
        market.publish(market.version(author, parent_share_bps=1), author)


def test_publish__fork_that_pays_its_parent_but_is_paid_elsewhere__is_refused(
    market: Market, author: Account, rival: Account
) -> None:
    """beh:G11: a royalty that goes past the registry would go past the parent."""
    parent = market.published(author, fork_share_bps=1)
    fork = market.version(rival, "fork", parent=parent, parent_share_bps=1, royalty_to=rival.address)
    with expect_revert("RoyaltyBypassesSplit", royaltyTo=rival):
        market.publish(fork, rival)


def test_publish__sixth_fork_in_a_line__is_refused(market: Market, author: Account) -> None:
    """beh:G11: five ancestors at most."""
    parent = None
    for depth in range(6):
        parent = market.published(author, f"level-{depth}", parent=parent)
        assert record(market, parent)[3] == depth
    with expect_revert("LineageTooDeep", parent=parent.id, found=6, most=5):
        market.publish(market.version(author, "level-6", parent=parent), author)


# ---- deprecation


def test_deprecate__by_the_owner__marks_it_and_changes_nothing_else(market: Market, author: Account) -> None:
    """beh:G6: terms, label, deals and forks stay."""
    made = market.published(author)
    before = record(market, made)
    receipt = market.modules.deprecate(made.id, "use v0.0.2", sender=author)
    event = receipt.event("VersionDeprecated")
    assert (event["version"], event["by"], event["note"]) == (made.id, author.address, "use v0.0.2")
    assert record(market, made) == (*before[:4], True)
    assert market.modules.versionOf(author, "cowsay", "v0.0.1") == made.id
    market.published(author, "fork", parent=made)
    assert market.earn(made.terms, 10**18) == market.claim([made]).value


def test_deprecate__by_anybody_else_or_twice_or_unknown__is_refused(
    market: Market, author: Account, rival: Account
) -> None:
    made = market.published(author)
    with expect_revert("NameNotYours", caller=rival):
        market.modules.deprecate(made.id, "", sender=rival)
    market.modules.deprecate(made.id, "", sender=author)
    with expect_revert("VersionDeprecatedBefore", version=made.id):
        market.modules.deprecate(made.id, "", sender=author)
    with expect_revert("VersionUnknown"):
        market.modules.deprecate(b"\x01" * 32, "", sender=author)


# ---- gas


def test_publish__gas__fits_the_budget() -> None:
    """Issue 5: at most 130k with every slot cold, for the dearest usual case: a fork, and the first under its name."""
    market = Market()
    parent = market.published(market.account("ancestor"), fork_share_bps=500)
    author = market.account("author")
    fork = market.version(author, "cowsay-fork", "v0.0.1", parent=parent, parent_share_bps=500)
    assert market.publish(fork, author, exact=True).gas_used <= 130_000
