"""What is believed of a node and of a list: only what hashes prove. And publishing to an IPFS node."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.author.curating import Draft
from lilypad_agents.agents.author.errors import LineageRefused, LintFailed
from lilypad_agents.agents.author.packing import contents_of, keep
from lilypad_agents.agents.author.publishing import _push_to_ipfs, check_window
from lilypad_agents.agents.author.registry import MOST_ANCESTORS, ModuleRegistry
from lilypad_agents.agents.author.runs import pack_source
from lilypad_agents.agents.author.template import write_template
from lilypad_agents.agents.creator.chainlists import read_list, versions_behind
from lilypad_agents.agents.creator.errors import ListBroken, ListUnknown
from lilypad_agents.agents.runtime.lists import Entry, list_id, parse_list, replay, root_of
from lilypad_agents.content.car import CarDecoder
from lilypad_agents.content.store import LocalStore
from lilypad_agents.protocol.ids import NOBODY, ZERO, VersionId, address_of, hex_of, keccak256
from lilypad_agents.protocol.terms import ModuleTerms, name_hash

PUBLISHER, CURATOR = address_of(0xA11CE), address_of(0xB0B)


@dataclass(frozen=True)
class Log:
    """A decoded event of the registry."""

    name: str
    args: Mapping[str, Any]
    block_number: int = 1


class Node:
    """A chain that answers with whatever it was given."""

    def __init__(self, *logs: Log, root: bytes = ZERO) -> None:
        self.logs = logs
        self.registry = SimpleNamespace(address=address_of(0x4E6), call=lambda name, *_: (CURATOR, root))

    def registry_events(self, names: tuple[str, ...], topics: Any = ()) -> list[Log]:
        found = [log for log in self.logs if log.name in names]
        keys = {"VersionPublished": ("version", "name"), "ListRootPublished": ("list", "root")}
        for log in list(found):
            for key, wanted in zip(keys.get(log.name, ("list",)), topics, strict=False):
                if isinstance(wanted, list) and hex_of(log.args[key]) not in wanted:
                    found.remove(log)
                    break
        return found


def terms(name: str, parent: bytes = ZERO) -> ModuleTerms:
    return ModuleTerms(PUBLISHER, name_hash(name, "v1"), keccak256(name.encode()), parent, 0, NOBODY, True, NOBODY, 0, 0, 0)


def publication(found: ModuleTerms, name: str, version: bytes | None = None) -> Log:
    words = [getattr(found, member.attribute) for member in ModuleTerms.TYPE.members]
    args = {
        "version": version or found.id, "name": b"\x01" * 24, "publisher": PUBLISHER, "terms": words, "nameText": name,
        "versionText": "v1", "parentShareBps": 0, "forkShareBps": 0,
    }  # fmt: skip
    return Log("VersionPublished", args)


def line_of(*logs: Log, version: bytes) -> list[str]:
    return [item.name for item in ModuleRegistry(Node(*logs)).line(version)]  # type: ignore[arg-type]


# ---- lines


def test_line__of_published_versions__goes_to_the_first() -> None:
    first = terms("first")
    second = terms("second", first.id)
    assert line_of(publication(first, "first"), publication(second, "second"), version=second.id) == ["second", "first"]


def test_line__node_that_claims_a_cycle__is_not_believed() -> None:
    """A version's id is a hash over its parent's, so a cycle can only be a lie: terms under an id that they do not have."""
    first = terms("first")
    second = terms("second", first.id)
    lie = replace(first, parent=second.id)
    with pytest.raises(LineageRefused, match="not registered"):
        line_of(publication(lie, "first", version=first.id), publication(second, "second"), version=second.id)
    with pytest.raises(LineageRefused, match="not registered"):
        line_of(publication(second, "second"), version=first.id)


def test_line__longer_than_the_contract_allows__is_refused() -> None:
    made, parent = [], ZERO
    for number in range(MOST_ANCESTORS + 2):
        made.append(terms(f"n{number}", parent))
        parent = made[-1].id
    logs = [publication(item, f"n{number}") for number, item in enumerate(made)]
    assert len(line_of(*logs, version=made[-2].id)) == MOST_ANCESTORS + 1
    with pytest.raises(LineageRefused, match="does not end"):
        line_of(*logs, version=made[-1].id)


# ---- lists

ONE, TWO = terms("one"), terms("two")
LIST = parse_list(f"{CURATOR}/good")
assert LIST is not None


def event(name: str, **args: Any) -> Log:
    return Log(name, {"list": LIST.id, **args})  # type: ignore[union-attr]


CREATED = event("ListCreated", curator=CURATOR, text="good")


def added(found: ModuleTerms, label: str) -> Log:
    return event("ListEntryAdded", version=found.id, label=label, note="why")


@pytest.mark.parametrize("text", ["good", "./list.json", "", "0x12/good", f"{CURATOR}/Good", f"{CURATOR}/", f"{CURATOR}/a/b", "0x" + "g" * 64])
def test_parse_list__of_what_names_no_list__is_none(text: str) -> None:
    assert parse_list(text) is None


def test_parse_list__name_and_id__mean_the_same() -> None:
    assert LIST is not None
    found = parse_list(hex_of(LIST.id))
    assert found is not None and found.id == LIST.id == list_id(CURATOR, "good")
    assert parse_list(f"{CURATOR.lower()}/good") == LIST


def test_replay__entries_in_and_out__gives_what_is_left() -> None:
    logs = [
        CREATED, added(ONE, "a:1"), added(TWO, "b:1"), event("ListEntryRemoved", version=ONE.id, label="a:1"),
        event("ListRootPublished", root=root_of([TWO.id])), event("ListTransferred", **{"from": CURATOR, "to": PUBLISHER}),
    ]  # fmt: skip
    state = replay(logs)[LIST.id]  # type: ignore[arg-type,union-attr]
    assert (state.curator, state.first_curator, state.updates, state.is_sound) == (PUBLISHER, CURATOR, 1, True)
    assert set(state.entries) == {"b:1"} and state.versions == {TWO.id}


def test_root__of_labels_with_one_version__counts_it_once() -> None:
    assert root_of([ONE.id, ONE.id]) == root_of([ONE.id])
    assert root_of([]) == ZERO


def test_read_list__sound__gives_names_that_say_which_list() -> None:
    """beh:G10"""
    root = root_of([ONE.id])
    node = Node(CREATED, added(ONE, "a:1"), event("ListRootPublished", root=root), publication(ONE, "one"), root=root)
    found = read_list(node, LIST).aliases  # type: ignore[arg-type]
    assert found.modules["a:1"].terms == ONE
    assert found.modules["a:1"].source == f"{CURATOR}/good"


@pytest.mark.parametrize(
    ("logs", "root", "error"),
    [
        ((), ZERO, ListUnknown),
        ((CREATED, added(ONE, "a:1")), ZERO, ListBroken),  # entries without a root
        ((CREATED, added(ONE, "a:1"), event("ListRootPublished", root=root_of([TWO.id]))), root_of([TWO.id]), ListBroken),
        ((CREATED, added(ONE, "a:1"), event("ListRootPublished", root=root_of([ONE.id]))), root_of([TWO.id]), ListBroken),
        ((CREATED, added(ONE, "a:1"), event("ListRootPublished", root=root_of([ONE.id]))), root_of([ONE.id]), ListBroken),  # no terms
        (
            (CREATED, added(ONE, "a:1"), event("ListRootPublished", root=root_of([ONE.id])), publication(TWO, "one", version=ONE.id)),
            root_of([ONE.id]),
            ListBroken,
        ),
    ],
    ids=["absent", "no root", "wrong root", "root differs", "terms unknown", "terms of another"],
)
def test_read_list__that_does_not_fit_itself__is_refused(logs: tuple[Log, ...], root: bytes, error: type[Exception]) -> None:
    """beh:G10 flt:S14"""
    with pytest.raises(error):
        read_list(Node(*logs, root=root), LIST)  # type: ignore[arg-type]


def test_versions_behind__roots_that_offers_name__are_proved_by_the_lists_events() -> None:
    """beh:G10: also of an earlier state of a list, and never of a root that its entries did not give."""
    first, both = root_of([ONE.id]), root_of([ONE.id, TWO.id])
    node = Node(
        CREATED, added(ONE, "a:1"), event("ListRootPublished", root=first), added(TWO, "b:1"), event("ListRootPublished", root=both),
        event("ListRootPublished", root=b"\x66" * 32),
    )  # fmt: skip
    found = versions_behind(node, [first, both, b"\x66" * 32, b"\x77" * 32])  # type: ignore[arg-type]
    assert found == {first: {ONE.id}, both: {ONE.id, TWO.id}}
    assert versions_behind(node, []) == {}  # type: ignore[arg-type]


def test_draft__written_and_read__is_the_same() -> None:
    draft = Draft(["a:1"], {"b:1": Entry("b:1", VersionId(ONE.id), "why")})
    assert Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft
    with pytest.raises(ValueError):
        Draft.from_json({"schema": "other"})


# ---- an IPFS node


@pytest.fixture
def node() -> Iterator[tuple[str, list[str]]]:
    """Takes `dag/import` as Kubo does, and notes the roots."""
    roots: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the name that the library calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            archive = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            decoder = CarDecoder()
            list(decoder.feed(archive))
            roots.append(str(decoder.root))
            answer = ('{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":""}}\n' % decoder.root).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", roots
    server.shutdown()
    server.server_close()


def test_publish__with_an_ipfs_node__pins_everything_there(node: tuple[str, list[str]], tmp_path: Path) -> None:
    url, roots = node
    write_template(tmp_path / "m", "hello")
    packed = pack_source(tmp_path / "m", PUBLISHER)
    store = LocalStore(tmp_path / "store", durable=False)
    keep(packed, store)
    plan = SimpleNamespace(contents=tuple(contents_of(packed)))
    session = SimpleNamespace(settings=SimpleNamespace(ipfs_api=url), store=store)
    assert _push_to_ipfs(session, plan, lambda text: None)  # type: ignore[arg-type]
    assert roots == [str(item.cid) for item in plan.contents]
    session.settings.ipfs_api = ""
    assert not _push_to_ipfs(session, plan, lambda text: None)  # type: ignore[arg-type]


def test_publish__module_that_runs_longer_than_the_network_gives_anybody__is_refused(tmp_path: Path) -> None:
    """beh:B8 A wall limit of 10 s needs a window of 15 s."""
    write_template(tmp_path / "m", "hello")
    manifest = pack_source(tmp_path / "m", PUBLISHER).manifest
    check_window(manifest, 15)
    with pytest.raises(LintFailed, match=r"limits\.wallSeconds: a run of 10 s needs a submit window of 15 s, .* allows 14 s"):
        check_window(manifest, 14)
