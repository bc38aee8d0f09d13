"""A whole network of real processes, driven by the command line as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId
from lilypad_agents.devnet.funding import address_of, mediated_pool
from lilypad_agents.devnet.layout import FIRST_PROVIDER, ROLES, SECOND_PROVIDER, SOLVER
from lilypad_agents.devnet.record import Record
from lilypad_agents.protocol.ids import NOBODY, UNVERIFIED_POOL, DealId
from lilypad_agents.protocol.price import Charge, charge
from lilypad_agents.protocol.units import Units
from tests.support.cli_schemas import check_events, check_object

PROJECT = Path(__file__).resolve().parents[2]
_QUIET_S = 60
COMMAND = [sys.executable, "-m", "lilypad_agents.cli"]
# Or geth: `make test-geth`. Taken out of the environment, where every other such name is a setting and an unknown one an error.
CHAIN_PROGRAM = os.environ.pop("LILYPAD_E2E_CHAIN", "anvil")


def seconds_on(*, anvil: float, geth: float) -> float:
    """A limit by the chain under test: what is promised of the devnet is promised of its usual chain, which mines at once."""
    return geth if CHAIN_PROGRAM == "geth" else anvil


_UP_S = seconds_on(anvil=90, geth=420)  # geth mines once a second, and setting up is some ninety transactions


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Running:
    """A command that runs, its --jsonl events read as they come."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that fits; fails when the command ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            if condition(event):
                return event
        raise AssertionError(f"ended with {self.process.wait(5)} before that: {self.events[-1:]}")

    def end(self, seconds: float = 60) -> Ended:
        """The rest of it."""
        out, err = self.process.communicate(timeout=seconds)
        self.events += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        check_events("\n".join(json.dumps(event) for event in self.events))
        return Ended(self.process.returncode, out, err)


@dataclass
class Network:
    """A devnet in a folder of its own, and the command line in front of it."""

    folder: Path
    port: int
    ended: set[bytes] = field(default_factory=set)

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LILYPAD_")}
        return {**kept, "HOME": str(self.folder / "home"), "NO_COLOR": "", **changes}

    def lilypad(self, *words: str, seconds: float = 90, env: dict[str, str] | None = None, stdin: str | None = None) -> Ended:
        """Runs a command to its end; networks that it starts have the chain under test."""
        if words[:2] == ("devnet", "up"):
            words, seconds = (*words, "--chain", CHAIN_PROGRAM), max(seconds, _UP_S)
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment(**(env or {})),
            capture_output=True,
            text=True,
            timeout=seconds,
            input=stdin if stdin is not None else "",
        )
        assert "\x1b" not in done.stdout + done.stderr, "colour or escapes without a terminal"
        assert "Traceback" not in done.stderr
        if "--json" in words:
            check_object(done.stdout)
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> Running:
        """Starts a command with --jsonl."""
        process = subprocess.Popen(
            [*COMMAND, *words, "--jsonl"],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(process)

    # ---- the devnet

    @property
    def record(self) -> Record:
        record = Record.load(self.folder / ".devnet" / "devnet.json")
        assert record is not None
        return record

    def pid(self, part: str) -> int:
        return self.record.parts[part].identity.pid

    def kill(self, part: str) -> None:
        """Ends a part at once, as a power cut would."""
        os.kill(self.pid(part), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.record.alive(part):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def restart(self, part: str) -> None:
        done = self.lilypad("devnet", "restart", part)
        assert done.code == 0, done.err

    def up(self, *words: str) -> Ended:
        modules = self.folder / "modules"
        return self.lilypad("devnet", "up", "--dir", ".", "--port", str(self.port), "--modules", str(modules), *words)

    # ---- money

    def chain(self) -> CreatorChain:
        rpc = Rpc(RpcConfig((self.record.rpc_url,), ChainId(1337)))
        return CreatorChain(rpc, AddressBook.load(self.folder / ".devnet" / "deployments" / "1337.json"))

    def money(self, creator: str = "creator") -> dict[str, int]:
        """Everything that the ledger holds, by whose it is; wei. Waits for deals of other tests that are still to be settled."""
        chain = self.chain()
        self._until_quiet(chain)
        indices = {"creator": ROLES[creator], "provider1": FIRST_PROVIDER, "provider2": SECOND_PROVIDER}
        found = {}
        for name, index in indices.items():
            ledger = chain.ledger(address_of(index))
            found[name], found[f"{name} locked"] = ledger.free, ledger.locked
        lists = json.loads((self.folder / ".devnet" / "aliases.json").read_text())["modules"]
        token, solver, pool = chain.default_token, address_of(SOLVER), mediated_pool(chain.book)
        found["solver"] = found["royalty"] = 0
        found["fund"] = chain.core.call("fundOf", pool.strategy, token, pool.id)
        for entry in lists.values():
            version = bytes.fromhex(entry["version"][2:])
            for strategy, pool_id in ((NOBODY, UNVERIFIED_POOL), (pool.strategy, pool.id)):
                royalty, fee, fund = chain.core.call("accruedOf", token, version, solver, strategy, pool_id)
                found["solver"] += fee
                found["royalty"] += royalty
                found["fund"] += fund
        found["held"] = int(chain.core.call("heldOf", token))
        chain.rpc.close()
        return {name: int(amount) for name, amount in found.items()}

    def _until_quiet(self, chain: CreatorChain) -> None:
        """Until every deal has ended: the lottery and audits settle some a while after their command."""
        deadline = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline:
            running = [opened.id for opened in chain.opened() if opened.id not in self.ended]
            self.ended |= {deal for deal in running if chain.state(deal)[0].status.is_final}
            if self.ended.issuperset(running):
                return
            time.sleep(0.3)

    def due(self, deal: str, units: int = 0) -> Charge:
        """What a deal of these many metered units costs, by its record on the chain and the protocol's own arithmetic."""
        chain = self.chain()
        record = next(iter(chain.opened(deal=DealId(bytes.fromhex(deal[2:]))))).record
        found = charge(record, Units(units), chain.parameters.protocol_fee_bps)
        chain.rpc.close()
        return found

    def deals(self, creator: str = "creator") -> int:
        """How many deals this creator ever had."""
        chain = self.chain()
        try:
            return len(list(chain.opened(creator=address_of(ROLES[creator]))))
        finally:
            chain.rpc.close()

    def allowance(self, creator: str = "creator") -> int:
        chain = self.chain()
        try:
            token = chain.token_contract(chain.default_token)
            return int(token.call("allowance", address_of(ROLES[creator]), chain.core.address))
        finally:
            chain.rpc.close()


PAID = ("ACCEPTED", "MEDIATION_ACCEPTED")  # in eight of a hundred deals the lottery calls an audit, which ends the same for both
PLAIN = ("--pool", "unverified")  # for tests about something else than checking: settled without waiting for the lottery


def changes(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What moved, by whose it is."""
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}
