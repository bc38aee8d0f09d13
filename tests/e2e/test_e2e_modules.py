"""Publishing, forking, curating and earning on a real network: by the command line where a person would, else in process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.author.curating import Curator
from lilypad_agents.agents.author.earnings import EarningsBook, claim
from lilypad_agents.agents.author.errors import LineageRefused, ListRefused, LintFailed, NameOwned
from lilypad_agents.agents.author.publishing import Plan, deprecate, plan_publication, publish
from lilypad_agents.agents.author.registry import ModuleRegistry
from lilypad_agents.agents.author.template import write_template
from lilypad_agents.agents.creator.errors import ListBroken, ListUnknown, ModuleUnknown
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.runtime.lists import root_of
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import MORE_CREATORS, ROLES
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.protocol.ids import hex_of
from tests.e2e.network import Network

ONE = 10**18
_names = (f"e2e-{number}" for number in itertools.count())


@contextmanager
def author(network: Network, role: str, **changes: Any) -> Iterator[Session]:
    """A session of one of the devnet's accounts."""
    settings = CreatorSettings.load(file=network.folder / ".devnet" / "creator.toml", flags=changes)
    with Session(settings, signer=signer_from_test_mnemonic(ROLES[role], ChainId(1337))) as session:
        yield session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A module under a name that no other test has."""
    name = next(_names)
    write_template(tmp_path / name, name)
    return tmp_path / name


def edit(folder: Path, **changes: Any) -> Path:
    file = folder / "lilypad_module.json"
    document = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return folder


def published(session: Session, folder: Path, **shares: Any) -> Plan:
    plan = plan_publication(session, folder, **shares)
    publish(session, plan)
    return plan


def coin(network: Network, role: str) -> int:
    """Coin of an account, wei: whatever is signed and sent costs some."""
    chain = network.chain()
    try:
        return chain.ledger(address_of(ROLES[role])).coin
    finally:
        chain.rpc.close()


# ---- refused before anything is paid


def test_publish__what_the_chain_would_refuse__is_refused_unpaid(network: Network, folder: Path) -> None:
    """beh:G5 beh:K14: a foreign name, a missing parent, shares, a royalty to nobody; nothing is signed for any of them."""
    before = coin(network, "creator2")
    with author(network, "creator2") as session:
        with pytest.raises(NameOwned) as owned:
            plan_publication(session, edit(folder, publisher=address_of(ROLES["creator3"])))
        assert owned.value.figures["owner"] == address_of(ROLES["creator3"])
        edit(folder, publisher=None)
        with pytest.raises(LineageRefused, match="not registered"):
            plan_publication(session, edit(folder, parent="0x" + "77" * 32))
        with pytest.raises(LineageRefused, match="needs a `parent`"):
            plan_publication(session, edit(folder, parent=None), parent_share_bps=5)
        with pytest.raises(LineageRefused, match="allowed are 0 to 10000"):
            plan_publication(session, folder, fork_share_bps=10_001)
        with pytest.raises(LintFailed, match="royaltyTo: is nobody"):
            plan_publication(session, edit(folder, royaltyBps=5, royaltyTo="0x" + "00" * 20))
        with pytest.raises(LintFailed, match="royaltyBps: is 3001"):
            plan_publication(session, edit(folder, royaltyBps=3_001, royaltyTo=None))
        with pytest.raises(LintFailed, match="nonsense"):
            plan_publication(session, edit(folder, royaltyBps=0, nonsense=1))
    assert coin(network, "creator2") == before


def test_publish__nobody_to_ask__needs_yes_and_signs_nothing(network: Network, folder: Path) -> None:
    """beh:K14"""
    before = coin(network, "creator2")
    done = network.lilypad("module", "publish", str(folder), "--account", "creator2", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "confirmation-needed")
    assert coin(network, "creator2") == before


def test_publish__example_that_fails__publishes_nothing(network: Network, folder: Path) -> None:
    edit(folder, examples=[{"inputs": {"Name": "x"}, "expect": {"stdout": "Bye\n"}}])
    done = network.lilypad("module", "publish", str(folder), "--account", "creator2", "--yes", "--json")
    assert (done.code, done.json["error"]["code"]) == (10, "examples-failed")


# ---- publishing


def test_publish__again_and_changed__changes_nothing_and_is_refused(network: Network, folder: Path) -> None:
    """beh:K12 beh:K14 beh:G6"""
    words = ("module", "publish", str(folder), "--account", "creator2", "--yes", "--json")
    first = network.lilypad(*words)
    assert first.code == 0, first.err
    assert first.data["gasUsed"] <= 130_000 and not first.data["alreadyPublished"]
    before = coin(network, "creator2")
    again = network.lilypad(*words)
    assert (again.code, again.data["alreadyPublished"], again.data["transaction"]) == (0, True, None)
    assert again.data["version"] == first.data["version"]
    program = folder / "main.wat"
    program.write_text(program.read_text().replace("Hello, ", "Howdy, "))
    edit(folder, examples=[{"inputs": {}, "expect": {"exitCode": 0}}])
    changed = network.lilypad(*words)
    assert (changed.code, changed.json["error"]["code"]) == (10, "version-taken")
    assert coin(network, "creator2") == before


def test_publish__broken_off_at_any_step__is_finished_by_repeating(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """flt:F1: before the transaction, and after it before anybody knows."""
    with author(network, "creator2") as session:
        plan = plan_publication(session, folder)

        def cut(*words: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(session.wallet), "registry", cut)
            with pytest.raises(KeyboardInterrupt):
                publish(session, plan)
        assert session.chain.version_of(plan.terms.publisher, plan.manifest.name, plan.manifest.version) is None
        done = publish(session, plan)
        once_more = publish(session, plan)  # a plan that does not know of the registration
        assert done.transaction == once_more.transaction is not None
        assert len(ModuleRegistry(session.chain).publications(version=plan.version)) == 1
        assert plan_publication(session, folder).registered


def test_publish__by_the_names_operator__pays_the_owner_and_nobody_else(network: Network, folder: Path) -> None:
    """beh:G8: an operator publishes under the owner's name; royalties go through the registry, whatever it would like."""
    owner, operator = address_of(ROLES["creator2"]), address_of(ROLES["creator3"])
    with author(network, "creator2") as session:
        first = published(session, folder)
        name = ModuleRegistry(session.chain).name(first.terms.publisher, first.manifest.name)
        session.wallet.registry(f"operator:{hex_of(name.id)}", "setOperator", name.id, operator)
    edit(folder, version="v0.2.0", publisher=owner, royaltyBps=100)
    with author(network, "creator3") as session:
        with pytest.raises(ManifestInvalid, match="royaltyTo"):
            plan_publication(session, edit(folder, royaltyTo=operator))
        second = published(session, edit(folder, royaltyTo=None))
        assert (second.terms.publisher, second.terms.royalty_to) == (owner, ModuleRegistry(session.chain).address)
    with author(network, "creator4") as session, pytest.raises(NameOwned):
        plan_publication(session, edit(folder, version="v0.3.0"))


def test_run__own_module_by_its_full_name__is_paid_and_its_content_is_what_was_published(network: Network, folder: Path) -> None:
    """beh:K6 beh:K12: also when the copy on this machine was changed behind the store's back."""
    with author(network, "creator2") as session:
        plan = published(session, folder)
        local = network.lilypad("module", "run", plan.full_name, "--local", "-i", "Name=x", "--json")
        assert local.code == 0, local.err
        done = network.lilypad("run", plan.full_name, "-i", "Name=x", "--wait", "final", "--json", "--account", "creator2")
        assert done.code == 0, done.err
        block = session.store._path(plan.contents[1].cid)  # the artefact
        block.chmod(0o600)
        block.write_bytes(block.read_bytes().replace(b"Hello", b"Howdy"))
    again = network.lilypad("module", "run", plan.full_name, "--local", "-i", "Name=x", "--json")
    assert (again.code, again.data["content"]) == (0, local.data["content"])


# ---- lines and royalties


def test_claim__five_levels_of_forks__pays_every_owner_exactly(network: Network, tmp_path: Path) -> None:
    """beh:G11 inv:T31: parts are rounded down, the rest stays with the younger one, and all add up to the wei."""
    roles = [f"creator{number}" for number in range(2, 8)]
    shares = [0, 3_333, 1_777, 9_999, 5_001, 2_500]
    parent, plans = None, []
    for role, share in zip(roles, shares, strict=True):
        name = next(_names)
        write_template(tmp_path / name, name)
        edit(tmp_path / name, parent=parent, royaltyBps=1_234)
        with author(network, role) as session:
            plans.append(published(session, tmp_path / name, parent_share_bps=share))
        parent = hex_of(plans[-1].version)
    write_template(tmp_path / "toodeep", "toodeep")
    with author(network, roles[0]) as session, pytest.raises(LineageRefused, match="6 ancestors"):
        plan_publication(session, edit(tmp_path / "toodeep", parent=parent))
    done = network.lilypad("run", plans[-1].full_name, "-i", "Name=royalty", "--wait", "final", "--json", "--account", "creator8")
    assert done.code == 0, done.err

    income = ONE * 1_234 // 10_000
    expected, left = [], income
    for share in reversed(shares):
        passed = left * share // 10_000
        expected.append(left - passed)
        left = passed
    accounts = [address_of(ROLES[role]) for role in reversed(roles)]
    with author(network, roles[-1]) as session:
        before = [session.chain.ledger(account).free for account in accounts]
        (found,) = EarningsBook(session).of(plans[-1].version)
        assert (found.accrued + found.swept, found.claimable, found.paid) == (income, income, 0)  # anybody may have swept
        assert found.split == tuple(zip(accounts, expected, strict=True))
        assert found.yours == expected[0]
        (claimed,) = claim(session, [found])
        assert claimed.amount == income and list(claimed.paid) == list(zip(accounts, expected, strict=True))
        after = [session.chain.ledger(account).free for account in accounts]
        assert [now - then for now, then in zip(after, before, strict=True)] == expected
        (rest,) = EarningsBook(session).of(plans[-1].version)
        assert (rest.claimable, rest.paid, rest.paid_to_you) == (0, income, expected[0])
        assert claim(session, [rest]) == []
    with author(network, roles[0]) as session:  # the first of the line sees what a fork owes it
        assert plans[-1].version in [item.publication.id for item in EarningsBook(session).mine()]


def test_fork__share_below_what_the_parent_asks__is_refused_and_the_least_is_the_default(network: Network, folder: Path, tmp_path: Path) -> None:
    with author(network, "creator2") as session:
        parent = published(session, edit(folder, royaltyBps=100), fork_share_bps=2_000)
    name = next(_names)
    done = network.lilypad("module", "fork", parent.full_name, "--name", name, "--dir", str(tmp_path / "fork"), "--json")
    assert (done.code, done.data["leastParentShareBps"]) == (0, 2_000), done.err
    with author(network, "creator3") as session:
        with pytest.raises(LineageRefused, match="asks 2000"):
            plan_publication(session, tmp_path / "fork", parent_share_bps=1_999)
        fork = published(session, tmp_path / "fork")
        assert fork.parent_share_bps == 2_000 and fork.terms.royalty_to == ModuleRegistry(session.chain).address
    shown = network.lilypad("module", "show", fork.full_name, "--json")
    assert [item["name"] for item in shown.data["line"]] == [fork.full_name, parent.full_name]


def test_deprecate__a_version__is_said_everywhere_and_never_twice(network: Network, folder: Path) -> None:
    """beh:G6"""
    with author(network, "creator2") as session:
        plan = published(session, folder)
    with author(network, "creator3") as session, pytest.raises(NameOwned):
        deprecate(session, plan.version, "not mine")
    done = network.lilypad("module", "deprecate", plan.full_name, "--note", "use another", "--yes", "--account", "creator2", "--json")
    assert done.code == 0 and done.data["transaction"]
    with author(network, "creator2") as session:
        assert deprecate(session, plan.version, "again") is None
        assert session.modules.resolve(plan.full_name).deprecated
    everything = network.lilypad("module", "search", plan.manifest.name, "--all", "--json")
    assert [row["deprecated"] for row in everything.data["modules"]] == [True]
    quote = network.lilypad("quote", plan.full_name, "--json")
    assert (quote.code, quote.json["error"]["code"]) == (2, "module-deprecated")
    assert network.lilypad("quote", plan.full_name, "--deprecated", "--json").code == 0


# ---- curated lists


def test_list__noted_and_published__resolves_names_and_says_who_vouched(network: Network, folder: Path) -> None:
    """beh:G10"""
    with author(network, "creator4") as session:
        plan = published(session, folder)
        name = next(_names)
        curator = Curator(session, name)
        with pytest.raises(ListUnknown):
            curator.add("hi:v1", plan.version, "")
        curator.create(name)
        assert curator.create(name) is None
        for label in ("hi", "Hi:v1", "hi:v 1", 'hi:"'):
            with pytest.raises(ListRefused):
                curator.add(label, plan.version, "")
        curator.add("hi:v1", plan.version, "read it")
        with pytest.raises(ListRefused):
            curator.remove("other:v1")
        assert session.chain.registry.call("listOf", curator.reference.id)[1] == bytes(32), "nothing is published yet"
        root, transaction = curator.publish()
        assert root == root_of([plan.version]) and transaction is not None
        assert curator.publish() == (root, None)
        with pytest.raises(ListRefused, match="already"):
            curator.add("hi:v1", plan.version, "")
    shown = network.lilypad("list", "show", curator.reference.text, "--json")
    assert (shown.data["sound"], shown.data["root"], shown.data["entries"][0]["label"]) == (True, hex_of(root), "hi:v1")
    trusting = {"LILYPAD_CREATOR_LISTS": curator.reference.text}
    found = network.lilypad("module", "show", "hi:v1", "--json", env=trusting)
    assert (found.code, found.data["name"]) == (0, plan.full_name)
    assert found.data["foundBy"] == f"the list {curator.reference.text}"
    with author(network, "creator5") as session:
        with pytest.raises(ModuleUnknown):
            session.modules.resolve("hi:v1")
        with pytest.raises(ListRefused, match="curator"):
            Curator(session, curator.reference.text).remove("hi:v1")


def test_list__root_that_its_entries_do_not_give__is_refused_everywhere(network: Network, folder: Path) -> None:
    """beh:G10: a curator that publishes a wrong root, and its repair; removing and adding again under the same label."""
    with author(network, "creator4") as session:
        plan = published(session, folder)
        name = next(_names)
        curator = Curator(session, name)
        curator.create(name)
        words = [(plan.version, "hi:v1", "")]
        session.wallet.registry(f"lie:{name}", "updateList", curator.reference.id, [], words, b"\x66" * 32)
    with author(network, "creator", lists=(curator.reference.text,)) as session, pytest.raises(ListBroken):
        _ = session.lists
    done = network.lilypad("run", "hi:v1", "--json", env={"LILYPAD_CREATOR_LISTS": curator.reference.text})
    assert (done.code, done.json["error"]["code"]) == (10, "list-broken")
    with author(network, "creator4") as session:
        curator = Curator(session, name)
        for _ in range(2):
            curator.remove("hi:v1")
            curator.publish()
            assert curator.state.root == bytes(32)
            curator.add("hi:v1", plan.version, "")
            assert curator.publish()[0] == root_of([plan.version])
    with author(network, "creator", lists=(curator.reference.text,)) as session:
        assert session.modules.resolve("hi:v1").version_id == plan.version


def test_names__of_this_file__use_accounts_that_the_devnet_funds() -> None:
    assert {f"creator{number}" for number in range(2, 9)} <= {name for name, index in ROLES.items() if index in MORE_CREATORS}
