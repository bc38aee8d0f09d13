"""F31 to F35: what other parties may do: bad results, lost sources, vanished solvers and mediators, floods."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psutil

from lilypad_agents.agents.provider.messages import result_note
from lilypad_agents.agents.provider.results import (
    Module,
    Opening,
    job_of,
    opened_of,
    receipt_of,
    store_receipt,
    store_result,
)
from lilypad_agents.agents.solver.wire import ContentKind, MessageKind, Scope
from lilypad_agents.chain.deployer import DeploymentFailed
from lilypad_agents.content.cid import Cid, Codec
from lilypad_agents.content.dagpb import Link, Node, encode_node
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.unixfs import FilePart, file_height, file_node, folder_node, part_sizes
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.execution.result import folders, result_tree
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import commitment
from lilypad_agents.protocol.ids import DealId, hex_of, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.opening import Pair, opening_of
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.agents.provider.relay import Relay
from tests.faults.ledger import events
from tests.faults.run import Run, fault
from tests.faults.scenes import CreatorScene, MediatorScene, ProviderScene, SolverScene
from tests.support.network import TOKEN
from tests.support.panel import Panel

_HUGE = 10 * 2**30
BAD_RESULTS = ("other bytes", "empty", "unknown file", "link", "10 GB")


class BadProvider:
    """A provider by hand that posts a result, and delivers something else."""

    def __init__(self, scene: CreatorScene) -> None:
        self.scene, self.key = scene, scene.stage.provider
        self.client = scene.new_client(self.key)
        self.offer = scene.network.resource(self.key.address)

    def put_offer(self, **changes: Any) -> None:
        self.offer = replace(self.offer, **changes)
        self.client.post_resource_offer(self.offer, self.scene.network.sign(self.offer, self.key))

    def record(self, deal_id: DealId) -> Deal:
        opened = [e for e in events(self.scene.network, "Lilypad", "DealOpened") if e["dealId"] == deal_id]
        return Deal.from_words(opened[0]["record"])

    def submit(self, deal_id: DealId) -> tuple[Deal, Any, Any, Opening]:
        """Runs the job honestly and commits to it: what it delivers is another matter."""
        scene, deal = self.scene, self.record(deal_id)
        module = scene.module
        wasm = scene.relay.store.get(Cid.parse(module.manifest.wasm.module))
        inputs = make_inputs(module.manifest, hex_of(module.terms.id), scene.values, {})
        with WorkerPool(1, scene.folder / "bad") as pool:
            result = pool.submit(deal_id.hex(), job_of(deal, deal_id, Module(module.manifest, wasm, {}), inputs, {})).wait(60).result
        assert result is not None
        opened, units = opened_of(module.manifest, deal, result)
        opening = Opening(opened, keccak256(b"salt" + deal_id), store_result(scene.relay.store, result), units)
        posted = commitment(deal_id, deal.provider, opened.digest, opening.salt)
        scene.by_provider("Lilypad", "submitResult", deal_id, posted)
        return deal, result, inputs, opening

    def deliver(self, deal_id: DealId, how: str) -> str:
        """Pushes the bad result and its note; says whether the relay took it."""
        scene = self.scene
        deal, result, inputs, opening = self.submit(deal_id)
        root = _bad_root(scene, result, how)
        signed = receipt_of(
            deal_id, deal, inputs.digest, result, opening, isa="x86-64-v3", started_at=1, ended_at=2, signer=self.key
        )
        note = dict(result_note(root, store_receipt(scene.relay.store, signed), signed, opening.opened))
        taken = "taken by the relay"
        try:
            self.client.put_content(root, scene.relay.store, Scope("deal", deal_id), ContentKind.RESULT)
        except LilypadError as refusal:
            taken = f"refused by the relay ({refusal.code})"
        self.client.message(deal_id, MessageKind.RESULT, json.loads(json.dumps(note)))
        return taken


def _bad_root(scene: CreatorScene, result: Any, how: str) -> Cid:
    store, tree = scene.relay.store, dict(folders(result_tree(result)))
    if how == "other bytes":
        return put_tree(store, tree | {"stdout": b"something else\n"})
    if how == "empty":
        return put_tree(store, {})
    if how == "unknown file":
        return put_tree(store, tree | {"surprise": b"!"})
    if how == "link":  # UnixFS type 4, with the place that it leads to
        block = encode_node(Node(data=b"\x08\x04\x12\x0b/etc/passwd", links=()))
    else:
        block = encode_node(folder_node([Link(_huge_file(store), b"stdout", _HUGE)]))
    root = Cid.of(block, Codec.DAG_PB)
    store.put(root, block)
    return root


def _huge_file(store: Any) -> Cid:
    """A file whose first block promises ten gigabytes."""
    height = file_height(_HUGE)
    parts = [FilePart(Cid.of(b"part", Codec.DAG_PB), size, height - 1, size) for size in part_sizes(_HUGE, height)]
    block = encode_node(file_node(parts))
    root = Cid.of(block, Codec.DAG_PB)
    store.put(root, block)
    return root


@fault("F31", {"creator": ("opened",)})
def result_is_bad(run: Run) -> None:
    """Every kind in turn: refused with a reason, nothing agreed to; the honest deal beside it is paid."""
    scene = run.make()
    assert isinstance(scene, CreatorScene)
    scene.honest, scene.reruns = False, False
    scene.endings |= {Status.TIMED_OUT}
    scene.start()
    bad = BadProvider(scene)
    for number, how in enumerate(run.rng.sample(BAD_RESULTS, len(BAD_RESULTS))):
        bad.put_offer(nonce=scene.network.nonce())
        scene.changes["data"] = scene.folder / f"data-{number}"
        scene.values = {"Message": f"{how} {run.seed}"}
        scene.agent.start()
        scene.until(lambda: len(scene.deals) == number + 1, 20, "no deal was opened")  # noqa: B023
        bad.client.withdraw_offer(bad.offer.struct_hash)
        deal_id = scene.deals[-1]
        if number == 0:
            run.inject(lambda: None)
        taken = bad.deliver(deal_id, how)
        if "refused" in taken:  # it never arrives: the command goes on asking until the deal is over
            scene.rest(6)
            run.expect(scene.agent.alive or scene.agent.code != 0, f"{how}: it ended well")
            scene.agent.kill()
            told = {"code": "still asking"}
        else:
            scene.until(lambda: not scene.agent.alive, 60, f"{how}: the command goes on")
            told = scene.agent.ended()
            run.noticed = run.noticed or time.monotonic() - run._injected
            run.expect(scene.agent.code not in (0, None), f"{how}: it ended well")
            run.expect(told.get("code") == "result-mismatch", f"{how}: it ended by {told}")
        notes = [note.kind for note in bad.client.messages(deal_id)]
        run.expect("acceptance" not in notes and "waiver" not in notes, f"{how}: it agreed")
        run.notes.append(f"{how}: {told.get('code')}, {taken}")
    scene.pass_time(200)
    for deal_id in scene.deals:
        scene.network.send(0, "LilypadResolver", "timeoutReveal", bad.record(deal_id).words)
    scene.changes["data"], scene.values = scene.folder / "data-honest", {"Message": "honest"}
    scene.add_provider()
    scene.reruns = True
    scene.agent.start()
    run.end()


@fault("F32", {"provider": ("agreed",), "mediator": ("drawn",), "creator": ("opened",)})
def data_source_is_down(run: Run) -> None:
    """Another source is used; where there is none, the creator challenges the delivery while it may."""
    if run.role == "creator":
        return _withheld(run)
    scene = run.make()
    how = run.rng.choice(("no content", "lie"))
    with Relay(scene.folder / "relay") as second:  # the same content
        scene.changes["solver_urls"] = (scene.relay.url, second.url)
        scene.start()
        run.inject(lambda: scene.relay.faults.add(how))
        if isinstance(scene, ProviderScene):
            scene.open({"Message": f"seed {run.seed}"}, submit_window=120)
        else:
            assert isinstance(scene, MediatorScene)
            scene.challenge()
        scene.until(scene.ended, 90, "it did not use the other source")
        run.end()
        asked = [line for line in scene.relay.requests if line.startswith("GET /ipfs/")]
        run.expect(asked, "the faulty source was never asked")
        run.notes.append(f"{how}, {len(asked)} requests to the faulty source")


def _withheld(run: Run) -> None:
    scene = run.make()
    assert isinstance(scene, CreatorScene)
    panel = Panel(scene.network, mediators=4, seats_each=60)
    scene.honest, scene.pool, scene.reruns = False, panel.terms, False
    scene.endings |= {Status.NO_FAULT}
    scene.network.fund([scene.stage.provider.address, scene.stage.creator.address], 5_000 * TOKEN)
    scene.start()
    bad = BadProvider(scene)
    bad.put_offer(pool=panel.terms.id, max_judge_window=200)
    scene.values = {"Message": "withheld"}
    scene.agent.start()
    scene.until(lambda: scene.deals, 20, "no deal was opened")
    deal_id = scene.deals[0]
    bad.submit(deal_id)
    run.inject(lambda: None)
    (submitted,) = events(scene.network, "Lilypad", "ResultSubmitted")
    disputes = lambda: events(scene.network, "LilypadResolver", "DisputeOpened")  # noqa: E731
    run.notice(lambda: disputes() or scene.pass_time(3), 60, "the delivery was not challenged")
    block = scene.network.rpc.request("eth_getBlockByNumber", hex(disputes()[0]["block"]), False)
    run.expect(disputes()[0]["by"] == scene.key.address, "somebody else challenged")
    run.expect(int(block["timestamp"], 16) <= submitted["judgeDeadline"], "it challenged after its deadline")
    run.notes.append(f"challenged {submitted['judgeDeadline'] - int(block['timestamp'], 16)} s before the deadline")
    scene.pass_time(700)
    scene.until(lambda: scene.status(deal_id).is_final, 30, "the mediation's end was not claimed")
    run.recovered = time.monotonic() - run._injected
    scene.until(lambda: not scene.agent.alive, 30, "the command goes on")


@fault("F33", {"creator": ("posted", "opened", "delivered"), "provider": ("agreed", "submitted")})
def solver_vanishes(run: Run) -> None:
    """Killed, and back a while later with what it had; and what it might alter never opens."""
    scene = run.begin()
    if isinstance(scene, CreatorScene):
        run.inject(scene.solver.kill)
        scene.rest(3)
        run.mend(scene.solver.start)
        run.recover(lambda: scene.solver.ready, 10, "the solver is back")
        _try_altered(run, scene)
        run.end()
        return
    run.inject(lambda: (scene.relay.faults.add("down"), scene.relay.offers.clear()))
    run.notice(lambda: run.told("solver_lost"), 30, "it did not see that its solver is gone")
    run.mend(lambda: scene.relay.faults.discard("down"))
    run.recover(lambda: scene.relay.offers, 40, "its offers stand again")
    run.end()


def _try_altered(run: Run, scene: CreatorScene) -> None:
    """Offers with one term changed, under the parties' own signatures."""
    stage, network = scene.stage, scene.network
    module = stage.module()
    pair = stage.pair(module, stage.inputs(module, {}))
    for field, value in (("max_price", 100 * TOKEN), ("submit_window", 61), ("provider", stage.provider.address)):
        altered = pair._replace(job=replace(pair.job, **{field: value}))
        try:
            network.send(0, "Lilypad", "open", opening_of([Pair(*altered)]))
            run.misses.append(f"an offer with another {field} was opened")
        except DeploymentFailed:
            continue


@fault("F34", {"mediator": ("drawn", "committed", "revealed")})
def mediator_dies(run: Run) -> None:
    """It comes back and reveals by the stored salt; or it never does, and the round goes on without it."""
    scene = run.begin()
    assert isinstance(scene, MediatorScene)
    case, comes_back = scene.cases[0], run.rng.random() < 0.5
    run.inject(scene.agent.kill)
    if comes_back:
        run.mend(scene.start)
        run.recover(scene.ready, 10)
        run.end()
        votes = {event["vote"] for event in scene.court.events("Revealed", case)}
        run.expect(votes == {case.opened.digest}, "it revealed something else")
    else:
        scene.endings |= {Status.NO_FAULT}
        scene.add_mediator(300)
        scene.reruns = True
        scene.finish(120)
        run.recovered = time.monotonic() - run._injected
    run.expect(not scene.agent.log("vote_lost"), "a vote was lost")
    run.notes.append("came back" if comes_back else "never came back, ended by another")


@fault("F35", {"solver": ("waiting",)})
def flood(run: Run) -> None:
    """More than a thousand offers a second from another address; a signed-in pair is served meanwhile."""
    scene = run.make()
    scene.changes.update(address_rate=10.0, address_burst=50)
    assert isinstance(scene, SolverScene)
    scene.start()
    memory = lambda: psutil.Process(scene.agent.pid).memory_info().rss  # noqa: E731
    before, load = memory(), Load(scene, seconds=8.0)
    run.inject(load.start)
    time.sleep(1.0)
    scene.offer_job()
    scene.offer_resource()
    run.recover(lambda: scene.deals, 30, "a signed-in pair is served")
    load.join()
    growth, rate = (memory() - before) >> 20, load.offered / load.seconds
    run.noticed = 0.0 if load.answers[429] else None
    run.expect(rate >= 1_000, f"this machine offered {rate:.0f} requests a second only")
    run.expect(set(load.answers) <= {401, 429, 503}, f"answers {dict(load.answers)}")
    run.expect(load.answers[429], "nobody was told to slow down")
    run.expect(growth < 64, f"memory grew by {growth} MiB")
    run.notes.append(f"{rate:.0f} offers a second, {sum(load.answers.values()) / load.seconds:.0f} answered, answers {dict(load.answers)}, memory {growth:+d} MiB")
    scene.finish(60)


class Load:
    """Offers from 127.0.0.2 over many connections, four in a packet; who is refused loses the connection."""

    def __init__(self, scene: SolverScene, seconds: float, threads: int = 6) -> None:
        self.seconds, self.answers, self.offered = seconds, Counter[int](), 0
        url = urlsplit(scene.url)
        module = scene.network.module()
        offer = scene.network.job(scene.creator.address, module, max_price=1)
        body = json.dumps({"offer": offer.to_json(), "signature": hex_of(scene.network.sign(offer, scene.creator)),
                           "module": module.to_json(), "pool": UNVERIFIED.to_json()}).encode()  # fmt: skip
        head = f"POST /v1/job-offers HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n"
        self._packet = (f"{head}content-length: {len(body)}\r\n\r\n".encode() + body) * 4
        self._place = (str(url.hostname), int(url.port or 0))
        self._lock, self._end = threading.Lock(), 0.0
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        self._end = time.monotonic() + self.seconds
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(self.seconds + 10)

    def _send(self) -> None:
        while time.monotonic() < self._end:
            answer = b""
            with suppress(OSError), socket.create_connection(self._place, 5, ("127.0.0.2", 0)) as line:
                line.sendall(self._packet)
                answer = line.recv(64)
            with self._lock:
                self.offered += 4
                if answer.startswith(b"HTTP/1.1 "):
                    self.answers[int(answer[9:12])] += 1
