"""How modules are named, resolved and trusted; amounts as people write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creator_support import ONE, PUBLISHER, TOKEN, manifest, packed, terms
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.creator.aliases import AliasList, document_of
from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.errors import (
    AliasAmbiguous,
    ModuleMismatch,
    ModuleUnknown,
    ReferenceInvalid,
    RequestInvalid,
)
from lilypad_agents.agents.creator.modules import ModuleResolver
from lilypad_agents.agents.creator.references import (
    ByManifest,
    ByVersionId,
    LocalFolder,
    Named,
    parse_reference,
    semver_key,
    version_spellings,
)
from lilypad_agents.agents.creator.terms import require_terms, terms_of
from lilypad_agents.content.cid import Cid
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.manifest import parse_manifest
from lilypad_agents.protocol.ids import VersionId, address_of, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

# ---- amounts


@given(st.integers(0, 2**96 - 1), st.integers(0, 30))
def test_amount__shown_and_parsed__is_exact(amount: int, decimals: int) -> None:
    token = Token(TOKEN.address, "TKN", decimals)
    assert token.parse(token.decimal(amount)) == amount
    assert token.parse(token.show(amount)) == amount


@pytest.mark.parametrize("text", ["", "1,5", "1e3", "-1", ".5", "1.", "0x10", "1.0000000000000000001", "9" * 30, "one", "1 ETH"])
def test_parse_amount__not_a_plain_decimal_within_the_ledger__is_refused_by_name(text: str) -> None:
    """beh:K5"""
    with pytest.raises(RequestInvalid, match="--max-price"):
        TOKEN.parse(text, "--max-price")


def test_amount__negative__keeps_its_sign() -> None:
    assert TOKEN.decimal(-ONE // 4) == "-0.25"


# ---- references


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cowsay:v0.0.1", Named(None, "cowsay", "v0.0.1")),
        ("cowsay", Named(None, "cowsay", None)),
        ("lilypad/cowsay:1.0-rc.1", Named("lilypad", "cowsay", "1.0-rc.1")),
        (f"{PUBLISHER}/cowsay:v1", Named(PUBLISHER, "cowsay", "v1")),
        ("0x" + "ab" * 32, ByVersionId(b"\xab" * 32)),
        (f"lilypad/cowsay@sha256:{'cd' * 32}", ByManifest(b"\xcd" * 32, "lilypad", "cowsay")),
        (str(Cid.raw(b"\x05" * 32)), ByManifest(b"\x05" * 32)),
        ("./modules/cowsay", LocalFolder("./modules/cowsay")),
        ("x/lilypad_module.json", LocalFolder("x/lilypad_module.json")),
    ],
)
def test_parse_reference__each_form__is_told_apart(text: str, expected: object) -> None:
    """beh:K1"""
    assert parse_reference(text) == expected


@pytest.mark.parametrize("text", ["", "Cowsay:v1", "cow say:v1", "cowsay:", "cowsay:v1:v2", "-cowsay:v1", "cowsay:../v1", "a" * 64 + ":v1", "cowsay:v1\n"])
def test_parse_reference__outside_the_grammar__is_refused(text: str) -> None:
    """beh:K1"""
    with pytest.raises(ReferenceInvalid):
        parse_reference(text)


def test_parse_reference__old_repository__says_that_it_has_to_be_imported() -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse_reference("github.com/someone/lilypad-module-x:v0.1")
    assert "import" in caught.value.way_out


@pytest.mark.parametrize(("version", "expected"), [("v1.2.3", {"v1.2.3", "1.2.3"}), ("1.2.3", {"1.2.3", "v1.2.3"}), ("main", {"main"}), ("vx", {"vx"})])
def test_version_spellings__with_and_without_v(version: str, expected: set[str]) -> None:
    assert set(version_spellings(version)) == expected
    assert version_spellings(version)[0] == version


def test_semver_key__orders_as_semver_2_does() -> None:
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "v1.0.0", "1.0.1", "1.10.0"]
    keys = [semver_key(version) for version in ordered]
    assert None not in keys
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert semver_key("main") is None and semver_key("v1.0-base") is None


# ---- terms follow from the manifest


def test_terms__of_a_published_manifest__say_what_it_says() -> None:
    module = packed("primes")
    found = terms_of(module.manifest)
    assert found.manifest == module.digest
    assert (found.publisher, found.royalty_bps, found.deterministic, found.min_audit_bps) == (PUBLISHER, 0, True, 0)
    assert found.metering == 1
    require_terms(module.manifest, found)


@pytest.mark.parametrize("change", [{"royalty_bps": 1}, {"deterministic": False}, {"name_hash": b"\x01" * 32}, {"min_audit_bps": 5}, {"publisher": address_of(9)}, {"metering": 1}, {"manifest": b"\x02" * 32}])
def test_require_terms__one_field_differs__names_it(change: dict[str, Any]) -> None:
    """beh:K4 beh:K6"""
    found = replace(terms(), **change)
    with pytest.raises(ModuleMismatch):
        require_terms(manifest(), found)


def test_terms__source_manifest_or_alias_publisher__have_none() -> None:
    source = parse_manifest({key: value for key, value in manifest().document.items() if key != "publisher"}, source=True)
    with pytest.raises(ConfigurationError):
        terms_of(source)
    with pytest.raises(ModuleMismatch):
        terms_of(parse_manifest({**manifest().document, "publisher": "somebody"}))


# ---- lists


def _list(name: str, modules: dict[str, ModuleTerms], publishers: dict[str, str] | None = None) -> AliasList:
    return AliasList.parse(json.loads(json.dumps(document_of(name, {label: (value, "") for label, value in modules.items()}, publishers or {}))))


def test_alias_list__written_and_read__is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(document_of("mine", {"cowsay:v0.0.1": (terms(), "seen")}, {"lilypad": PUBLISHER})))
    found = AliasList.load(path)
    assert found.modules["cowsay:v0.0.1"].terms == terms()
    assert found.publishers == {"lilypad": PUBLISHER}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other", "list": "x", "modules": {}}', '{"schema": "lilypad/aliases@1", "list": "x", "modules": {"a:1": {"terms": {}}}}'])
def test_alias_list__malformed__is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="list.json"):
        AliasList.load(path)


# ---- resolving


class FakeRegistry:
    """A registry that holds what it was given."""

    def __init__(self, *published: tuple[ModuleTerms, str, str], deprecated: frozenset[bytes] = frozenset()) -> None:
        self.published = {item[0].id: item for item in published}
        self._deprecated = deprecated

    def version_of(self, publisher: str, name: str, version: str) -> VersionId | None:
        return next((id_ for id_, item in self.published.items() if (item[0].publisher, *item[1:]) == (publisher, name, version)), None)

    def published_terms(self, version: VersionId) -> tuple[ModuleTerms, str, str] | None:
        return self.published.get(version)

    def versions_under(self, publisher: str, name: str) -> list[tuple[VersionId, str]]:
        return [(id_, item[2]) for id_, item in self.published.items() if (item[0].publisher, item[1]) == (publisher, name)]

    def deprecated(self, version: VersionId) -> bool:
        return bytes(version) in self._deprecated


def _fetcher(*modules: Any) -> Callable[[Cid], bytes]:
    blocks = {module.digest: module.manifest_bytes for module in modules}
    return lambda cid: blocks[cid.digest]


def _version(text: str) -> Any:
    """cowsay under another version, packed."""
    from lilypad_agents.agents.provider.results import content_cid
    from lilypad_agents.execution.pack import pack
    from creator_support import PROJECT

    return pack(PROJECT / "modules" / "cowsay", PUBLISHER, text, content_cid=content_cid)


COW = packed()


@pytest.mark.parametrize("text", ["cowsay:v0.0.1", "cowsay:0.0.1", f"{PUBLISHER}/cowsay:v0.0.1", f"{PUBLISHER.lower()}/cowsay:0.0.1", "lilypad/cowsay:v0.0.1", hex_of(terms().id), str(Cid.raw(COW.digest)), f"lilypad/cowsay@sha256:{COW.digest.hex()}"])
def test_resolve__every_way_to_name_a_version__leads_to_the_same(text: str) -> None:
    """beh:K1 beh:K6"""
    resolver = ModuleResolver(
        [_list("mine", {"cowsay:v0.0.1": terms()}, {"lilypad": PUBLISHER})],
        FakeRegistry((terms(), "cowsay", "v0.0.1")),
        _fetcher(COW),
    )
    found = resolver.resolve(text)
    assert found.version_id == terms().id
    assert found.full_name == f"{PUBLISHER}/cowsay:v0.0.1"
    assert not found.deprecated


def test_resolve__unknown_name__says_what_was_tried_and_what_is_near() -> None:
    """beh:K1"""
    resolver = ModuleResolver([_list("mine", {"cowsay:v0.0.1": terms()})], FakeRegistry(), _fetcher(COW))
    with pytest.raises(ModuleUnknown) as caught:
        resolver.resolve("cowsy:v0.0.1")
    assert "Did you mean cowsay:v0.0.1?" in caught.value.message
    assert caught.value.figures["tried"] == ["the list mine"]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", [f"{PUBLISHER}/cowsay:v9", "0x" + "00" * 32, "nobody/cowsay:v0.0.1"])
def test_resolve__neither_list_nor_registry_has_it__is_unknown(text: str) -> None:
    resolver = ModuleResolver([_list("mine", {})], FakeRegistry((terms(), "cowsay", "v0.0.1")), _fetcher(COW))
    with pytest.raises(ModuleUnknown):
        resolver.resolve(text)


def test_resolve__two_lists_disagree__is_an_error_that_names_both() -> None:
    other = replace(terms(), publisher=address_of(77))
    resolver = ModuleResolver(
        [_list("mine", {"cowsay:v0.0.1": terms()}), _list("theirs", {"cowsay:0.0.1": other})], FakeRegistry(), _fetcher(COW)
    )
    with pytest.raises(AliasAmbiguous, match="mine.*theirs"):
        resolver.resolve("cowsay:v0.0.1")


def test_resolve__list_leads_to_a_manifest_of_another_version__is_refused() -> None:
    """beh:K6 flt:S14"""
    lying = replace(terms(), royalty_bps=3_000, royalty_to=PUBLISHER)
    resolver = ModuleResolver([_list("lying", {"cowsay:v0.0.1": lying})], FakeRegistry(), _fetcher(COW))
    with pytest.raises(ModuleMismatch, match="royaltyBps"):
        resolver.resolve("cowsay:v0.0.1")


def test_resolve__source_serves_other_bytes__are_refused() -> None:
    """beh:K6 flt:S14"""
    resolver = ModuleResolver([_list("mine", {"cowsay:v0.0.1": terms()})], FakeRegistry(), lambda cid: packed("primes").manifest_bytes)
    with pytest.raises(ManifestInvalid, match="digest"):
        resolver.resolve("cowsay:v0.0.1")


def test_resolve__no_version__needs_a_person_and_then_takes_the_newest_that_is_not_deprecated() -> None:
    modules = [COW, _version("v0.2.0"), _version("v0.10.0"), _version("v0.11.0-rc.1"), _version("nightly")]
    all_terms = [terms_of(module.manifest) for module in modules]
    labels = {f"cowsay:{module.manifest.version}": value for module, value in zip(modules, all_terms, strict=True)}
    registry = FakeRegistry(deprecated=frozenset({all_terms[3].id}))
    resolver = ModuleResolver([_list("mine", labels)], registry, _fetcher(*modules))
    with pytest.raises(ReferenceInvalid) as caught:
        resolver.resolve("cowsay")
    assert "cowsay:v0.10.0" in caught.value.way_out
    assert resolver.resolve("cowsay", newest=True).manifest.version == "v0.10.0"


def test_resolve__deprecated_version__still_resolves_and_says_so() -> None:
    registry = FakeRegistry(deprecated=frozenset({terms().id}))
    resolver = ModuleResolver([_list("mine", {"cowsay:v0.0.1": terms()})], registry, _fetcher(COW))
    assert resolver.resolve("cowsay:v0.0.1").deprecated


def test_resolve__folder__says_to_run_it_here() -> None:
    resolver = ModuleResolver([], FakeRegistry(), _fetcher())
    with pytest.raises(ReferenceInvalid) as caught:
        resolver.resolve("./modules/cowsay")
    assert "--local" in caught.value.way_out
