"""What parties leave for each other: who may read it, how it comes in, how long it stays."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lilypad_agents.agents.solver.errors import Forbidden, RateLimited, TooLarge, WrongState
from lilypad_agents.agents.solver.wire import PUBLIC, ContentKind, MessageKind, Scope
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.car import write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import fetch_blocking
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.protocol.consent import Waiver, by_own_key
from lilypad_agents.protocol.digest import result_digest
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.opening import ResultOpening, waived_at_once
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.network import Network
from tests.support.solver import DOCUMENT, RunningSolver, eventually, open_solver

Start = Callable[..., RunningSolver]
CAR = {"content-type": "application/vnd.ipld.car"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "mine", durable=False)


def status_of(solver: RunningSolver, root: Cid, key: LocalSigner | None, query: str = "format=car") -> int:
    return solver.request("GET", f"/ipfs/{root}?{query}", key).status_code


@dataclass
class Made:
    """A deal with inputs and a result on the relay."""

    deal_id: DealId
    job: Any
    inputs: Cid
    extra: Cid
    result: Cid


@pytest.fixture
def make(solver: RunningSolver, store: LocalStore, creator: LocalSigner, provider: LocalSigner) -> Callable[..., Made]:
    def make(on: RunningSolver = solver) -> Made:
        module = on.network.module()
        on.offer_resource(provider)
        extra = put_tree(store, {"data": {"words.txt": b"one two " * 300_000}})  # several blocks
        job = on.network.job(creator.address, module, inputs=hashlib.sha256(DOCUMENT).digest())
        scope = Scope("offer", job.struct_hash)
        client = on.client(creator)
        client.put_content(add_bytes(store, DOCUMENT), store, scope, ContentKind.INPUTS)
        client.put_content(extra, store, scope, ContentKind.INPUTS)
        client.post_job_offer(job, on.network.sign(job, creator), module, UNVERIFIED)
        deal_id = on.wait(creator, job, "opened").deal_id
        assert deal_id is not None
        result = put_tree(store, {"exitCode": b"0", "stdout": b"moo", "stderr": b""})
        on.client(provider).put_content(result, store, Scope("deal", deal_id), ContentKind.RESULT)
        return Made(deal_id, job, Cid.of(DOCUMENT), extra, result)

    return make


# ---- who may read


def test_inputs__before_the_deal__only_their_creator_and_later_the_provider_too(
    solver: RunningSolver, store: LocalStore, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I3"""
    module = solver.network.module()
    text = b'{"inputs":{"Message":"private"}}'
    job = solver.network.job(creator.address, module, inputs=hashlib.sha256(text).digest())
    root = add_bytes(store, text)
    solver.client(creator).put_content(root, store, Scope("offer", job.struct_hash), ContentKind.INPUTS)
    solver.client(creator).post_job_offer(job, solver.network.sign(job, creator), module, UNVERIFIED)
    assert [status_of(solver, root, key, "format=raw") for key in (None, stranger, provider, creator)] == [401, 403, 403, 200]
    solver.offer_resource(provider)
    solver.wait(creator, job, "opened")
    assert [status_of(solver, root, key, "format=raw") for key in (None, stranger, provider, creator)] == [401, 403, 200, 200]


def test_results__both_parties_and_nobody_else(
    solver: RunningSolver, make: Callable[..., Made], creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I3"""
    made = make()
    for root in (made.result, made.inputs, made.extra):
        assert [status_of(solver, root, key) for key in (None, stranger, provider, creator)] == [401, 403, 200, 200]
    unknown = Cid.of(b"nobody has this")
    assert status_of(solver, unknown, stranger) == 403  # nobody learns from a refusal what is stored here
    assert status_of(solver, unknown, None) == 401


def test_block_inside_a_tree__needs_the_right_to_the_root(
    solver: RunningSolver, make: Callable[..., Made], store: LocalStore, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I3 beh:I15: transfers go on block by block."""
    made = make()
    leaf = Cid.of(b"moo")
    assert status_of(solver, leaf, provider, f"format=raw&root={made.result}") == 200
    assert status_of(solver, leaf, provider, "format=raw") == 403
    assert status_of(solver, leaf, stranger, f"format=raw&root={made.result}") == 403
    other = put_tree(store, {"x": b"y"})
    solver.client(stranger).put_content(other, store, PUBLIC)
    assert status_of(solver, leaf, stranger, f"format=raw&root={other}") == 404


def test_public__manifests_and_artefacts__for_everybody(
    solver: RunningSolver, store: LocalStore, stranger: LocalSigner, tmp_path: Path
) -> None:
    """beh:I3"""
    root = put_tree(store, {"manifest.json": b"{}", "module.wasm": b"\x00asm"})
    solver.client(stranger).put_content(root, store, PUBLIC, ContentKind.ARTEFACT)
    theirs = LocalStore(tmp_path / "theirs", durable=False)
    fetch_blocking(theirs, root, [solver.client(None).source()])
    solver.client(None).fetch(root, LocalStore(tmp_path / "again", durable=False))


def test_offer_scope__claimed_by_a_stranger_first__gives_nothing_away_and_takes_nothing_in(
    solver: RunningSolver, store: LocalStore, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """A stranger who guesses the offer's id cannot slip inputs into the deal. beh:I4"""
    module = solver.network.module()
    job = solver.network.job(creator.address, module, inputs=hashlib.sha256(DOCUMENT).digest())
    scope = Scope("offer", job.struct_hash)
    poison = put_tree(store, {"poison": b"x"})
    solver.client(stranger).put_content(poison, store, scope)
    solver.client(creator).put_content(add_bytes(store, DOCUMENT), store, scope)
    solver.client(creator).post_job_offer(job, solver.network.sign(job, creator), module, UNVERIFIED)
    with pytest.raises(Forbidden):
        solver.client(stranger).put_content(put_tree(store, {"later": b"x"}), store, scope)
    solver.offer_resource(provider)
    solver.wait(creator, job, "opened")
    assert status_of(solver, Cid.of(DOCUMENT), stranger, "format=raw") == 403
    assert status_of(solver, poison, provider) == 403


# ---- coming in


def put(solver: RunningSolver, key: LocalSigner, root: Cid, body: bytes, scope: str = "public", **more: Any) -> httpx.Response:
    headers = {**CAR, "lilypad-scope": scope, **more.pop("headers", {})}
    return solver.request("PUT", f"/v1/content/{root}", key, content=body, headers=headers, **more)


@pytest.fixture
def tree(store: LocalStore) -> tuple[Cid, bytes]:
    root = put_tree(store, {"a": b"alpha", "b": {"c": b"gamma"}})
    return root, b"".join(write_car(store, root))


def test_upload__under_another_name_than_its_hash__is_422(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I5"""
    wrong = Cid.dag_pb(hashlib.sha256(b"something else").digest())
    response = put(solver, stranger, wrong, tree[1])
    assert response.status_code == 422
    assert not solver.context.store.has(wrong)


def test_upload__bytes_flipped__is_422_and_nothing_can_be_read(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I5"""
    root, car = tree
    damaged = car[:-1] + bytes([car[-1] ^ 1])
    assert put(solver, stranger, root, damaged).status_code == 422
    assert status_of(solver, root, stranger) == 403


def test_upload__cut_off__is_refused_and_the_next_one_completes_it(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I15"""
    root, car = tree
    assert put(solver, stranger, root, car[: len(car) // 2]).status_code == 422
    assert status_of(solver, root, stranger) == 403
    assert put(solver, stranger, root, car).status_code == 201
    assert put(solver, stranger, root, car).status_code == 201  # repeating is harmless
    assert status_of(solver, root, None) == 200


def test_upload__body_is_not_what_was_signed__is_401_and_not_kept(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I2 beh:I5"""
    root, car = tree
    digest = base64.b64encode(hashlib.sha256(b"another body").digest()).decode()
    response = put(solver, stranger, root, car, headers={"content-digest": f"sha-256=:{digest}:"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "body-altered")
    assert status_of(solver, root, stranger) == 403


def test_upload__too_large__is_413(start_solver: Start, store: LocalStore, stranger: LocalSigner) -> None:
    """beh:I5"""
    solver = start_solver(upload_bytes=100_000)
    root = put_tree(store, {"big": b"x" * 3_000_000})
    with pytest.raises(TooLarge):
        solver.client(stranger).put_content(root, store, PUBLIC)
    assert status_of(solver, root, stranger) == 403


def test_upload__tree_that_explodes__is_refused_by_what_it_would_become(
    start_solver: Start, store: LocalStore, stranger: LocalSigner
) -> None:
    """A small archive whose folders repeat one large file many times. beh:I5"""
    solver = start_solver(upload_bytes=1_000_000)
    content = add_bytes(store, b"x" * 600_000)
    root = put_tree(store, {f"copy{number}": content for number in range(50)})
    response = put(solver, stranger, root, b"".join(write_car(store, root)))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"lilypad-scope": "private"}, 400), ({"lilypad-kind": "virus"}, 400), ({"content-type": "text/html"}, 415)],
)
def test_upload__of_another_form__is_refused(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes], headers: dict[str, str], status: int
) -> None:
    """beh:I6"""
    root, car = tree
    assert put(solver, stranger, root, car, headers=headers).status_code == status


def test_upload__without_a_scope_or_signature__is_refused(
    solver: RunningSolver, stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I1"""
    root, car = tree
    assert solver.request("PUT", f"/v1/content/{root}", stranger, content=car, headers=CAR).status_code == 400
    unsigned = {**CAR, "lilypad-scope": "public"}
    assert solver.request("PUT", f"/v1/content/{root}", content=car, headers=unsigned).status_code == 401


def test_upload__to_somebody_elses_deal__is_403_and_to_an_unknown_one_404(
    solver: RunningSolver, make: Callable[..., Made], stranger: LocalSigner, tree: tuple[Cid, bytes]
) -> None:
    """beh:I1 beh:I8"""
    made = make()
    root, car = tree
    assert put(solver, stranger, root, car, f"deal {hex_of(made.deal_id)}").status_code == 403
    assert put(solver, stranger, root, car, "deal 0x" + "ab" * 32).status_code == 404


def test_upload__beyond_the_quota__is_told_to_wait(start_solver: Start, store: LocalStore, stranger: LocalSigner) -> None:
    """beh:I7"""
    solver = start_solver(quota_bytes=50_000)
    solver.client(stranger).put_content(put_tree(store, {"a": b"x" * 40_000}), store, PUBLIC)
    with pytest.raises(RateLimited) as caught:
        solver.client(stranger).put_content(put_tree(store, {"b": b"y" * 40_000}), store, PUBLIC)
    assert caught.value.figures["what"] == "bytes"


# ---- notes


def test_notes__each_writes_its_own_kinds_and_both_read(
    solver: RunningSolver, make: Callable[..., Made], creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I1 beh:I3"""
    made = make()
    mine, theirs = solver.client(creator), solver.client(provider)
    first = theirs.message(made.deal_id, MessageKind.RESULT, {"dataId": str(made.result)})
    assert theirs.message(made.deal_id, MessageKind.RESULT, {"dataId": str(made.result)}) == first
    mine.message(made.deal_id, MessageKind.ACCEPTANCE, {"signature": "0x00"})
    mine.message(made.deal_id, MessageKind.CLOSING, {"toCreator": "1"})
    assert [note.kind for note in mine.messages(made.deal_id)] == ["result", "acceptance", "closing"]
    assert [note.body for note in mine.inbox() if note.deal_id == made.deal_id] == [{"dataId": str(made.result)}]
    assert [note.kind for note in theirs.inbox(after=first) if note.deal_id == made.deal_id] == ["acceptance", "closing"]
    for client, kind in ((mine, "result"), (theirs, "acceptance"), (theirs, "waiver"), (solver.client(stranger), "closing")):
        with pytest.raises(Forbidden):
            client.message(made.deal_id, kind, {})
    with pytest.raises(Forbidden):
        solver.client(stranger).messages(made.deal_id)


def test_notes__too_large_or_too_many_or_of_no_kind__are_refused(
    solver: RunningSolver, make: Callable[..., Made], provider: LocalSigner
) -> None:
    """beh:I5 beh:I6"""
    made, path = make(), ""
    path = f"/v1/deals/{hex_of(made.deal_id)}/messages"
    big = {"kind": "result", "body": "x" * 70_000}
    assert solver.request("POST", path, provider, body=big).status_code == 413
    assert solver.request("POST", path, provider, body={"kind": "gossip", "body": 1}).status_code == 400
    assert solver.request("POST", path, provider, body={"kind": 7, "body": 1}).status_code == 400
    statuses = [solver.request("POST", path, provider, body={"kind": "result", "body": n}).status_code for n in range(10)]
    assert statuses == [200] * 8 + [429] * 2


# ---- staying and going


def waived(network: Network, made: Made, creator: LocalSigner, provider: LocalSigner, record: Any) -> None:
    """Ends the deal at once: the provider posts and settles with the creator's waiver."""
    head, content = bytes(20) + bytes([1]) + bytes(11), bytes(32)
    digest = result_digest(head, content)
    message = Waiver(deal_id=made.deal_id, result_digest=digest)
    signature = by_own_key(creator.sign_digest(network.domain.digest(message.struct_hash)))
    opening = ResultOpening(head, content, b"\x07" * 32)
    network.send(2, "Lilypad", "submitAndSettle", *waived_at_once(record, opening, signature))


def test_content_and_notes__stay_until_the_deal_is_over_and_a_while_longer(
    own_network: Network, start_solver: Start, make: Callable[..., Made], creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:I14"""
    network = own_network
    network.fund([creator.address, provider.address])
    solver = start_solver("keeps", on=network, keep_s=50, keep_unbound_s=1)
    made = make(solver)
    solver.client(provider).message(made.deal_id, "result", {"x": 1})
    relay = solver.service.relay
    network.rpc.request("evm_increaseTime", 40)  # long for an upload, short for a deal
    network.rpc.request("anvil_mine", "0x1")
    eventually(lambda: solver.service.now >= network.now())
    assert relay.sweep() == 0
    record = solver.client(creator).deal(made.deal_id).record
    waived(network, made, creator, provider, record)
    eventually(lambda: solver.client(creator).deal(made.deal_id).ending == "accepted")
    with pytest.raises(WrongState):
        solver.client(provider).message(made.deal_id, "result", {"late": 1})
    assert relay.sweep() == 0
    assert [status_of(solver, root, creator) for root in (made.inputs, made.extra, made.result)] == [200] * 3
    network.rpc.request("evm_increaseTime", 60)
    network.rpc.request("anvil_mine", "0x1")
    eventually(lambda: solver.service.now >= network.now())
    assert relay.sweep() == 3
    assert [status_of(solver, root, creator) for root in (made.inputs, made.extra, made.result)] == [403] * 3
    assert solver.client(creator).messages(made.deal_id) == []


def test_content__whose_offer_never_came__goes_soon(
    own_network: Network, start_solver: Start, store: LocalStore, stranger: LocalSigner
) -> None:
    """beh:I14"""
    solver = start_solver("soon", on=own_network, keep_unbound_s=5)
    root = add_bytes(store, b"orphan")
    solver.client(stranger).put_content(root, store, Scope("offer", b"\x09" * 32))
    assert solver.service.relay.sweep() == 0
    own_network.rpc.request("evm_increaseTime", 10)
    own_network.rpc.request("anvil_mine", "0x1")
    eventually(lambda: solver.service.now >= own_network.now())
    assert solver.service.relay.sweep() == 1
    assert status_of(solver, root, stranger, "format=raw") == 403


def test_content__killed_between_an_offer_and_its_binding__stays_with_the_live_offer(
    own_network: Network, tmp_path: Path, start_solver: Start, store: LocalStore, creator: LocalSigner
) -> None:
    """beh:I14 flt:F1 Who posts the offer again hears that it is known, so the next start has to bind what was pushed."""
    network, limits = own_network, {"keep_unbound_s": 5}
    network.fund([creator.address])
    first = open_solver(network, tmp_path / "torn", **limits).start()
    module, root = network.module(), add_bytes(store, DOCUMENT)
    job = network.job(creator.address, module, inputs=root.digest)
    client = first.client(creator)
    client.put_content(root, store, Scope("offer", job.struct_hash), "inputs")
    first.service.relay.bind = lambda offer_id: None  # type: ignore[method-assign]  # the kill comes before it
    client.post_job_offer(job, network.sign(job, creator), module, UNVERIFIED)
    first.stop()
    second = start_solver("torn", on=network, **limits)
    network.rpc.request("evm_increaseTime", 10)
    network.rpc.request("anvil_mine", "0x1")
    eventually(lambda: second.service.now >= network.now())
    assert second.service.relay.sweep() == 0
    assert second.client(creator).offer(job.struct_hash).state == "open"
    assert status_of(second, root, creator, "format=raw") == 200


def test_disk_full__upload_is_507_and_the_rest_goes_on(
    start_solver: Start, store: LocalStore, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """flt:F27"""
    solver = start_solver(reserve_bytes=2**60)
    root = put_tree(store, {"a": b"x"})
    response = put(solver, stranger, root, b"".join(write_car(store, root)))
    assert (response.status_code, response.json()["error"]["code"]) == (507, "disk-full")
    assert solver.request("GET", "/v1/deals", creator).status_code == 200
