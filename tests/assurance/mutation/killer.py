"""Which test notices which mutant: contract tests in this process, one fork a mutant, the likeliest killers first.

One test of each file runs with no mutant on, so that the worlds they share are built once. Each mutant then runs in a fork of
that process until the first test fails. Before a test's word counts it has to pass without a mutant: what fails then (gas and
size limits, since the switches cost both) is left out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings
from pyrevm import EVM, CfgEnv, Env

from tests.assurance.mutation.mutants import SWITCH_ADDRESS, Mutant
from tests.support import evm as evm_module

# Without shrinking and without a memory: a mutant is dead at the first counterexample, and must not colour the next.
settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True,
                          deadline=None, suppress_health_check=list(HealthCheck))  # fmt: skip
settings.load_profile("mutation")

PATHS = ("tests/contracts/core", "tests/contracts/mediation", "tests/contracts/staking", "tests/contracts/modules",
         "tests/contracts/jobs", "tests/contracts/test_vectors.py", "tests/contracts/randomness/test_sources_in_deals.py",
         "tests/contracts/periphery", "tests/invariants")  # fmt: skip
# Where to look first, before anything is known about who kills what.
_NEAR = {
    "LilypadPayments": ("test_ledger", "test_modules_royalties", "test_money"),
    "LilypadOpening": ("test_opening", "test_vectors", "test_consent"),
    "LilypadResults": ("test_results", "test_consent", "test_money"),
    "LilypadResolver": ("test_resolver", "test_disputes", "test_money"),
    "AccountWord": ("test_vectors", "test_ledger"),
    "DealWord": ("test_vectors", "test_results", "test_disputes"),
    "DisputeMoney": ("test_mediation_money", "test_mediation_appeals"),
    "LilypadMediation": ("test_mediation",),
    "SumTree": ("test_staking_draws", "test_staking_stakes"),
    "PoolBook": ("test_staking",),
    "LilypadStaking": ("test_staking",),
    "LilypadModules": ("test_modules",),
    "LilypadJobs": ("test_jobs",),
}
# Which tests can reach a file at all; all of them where nothing is said.
_REACH = {
    "PoolBook": ("staking", "mediation"),
    "SumTree": ("staking", "mediation"),
    "LilypadStaking": ("staking", "mediation", "randomness"),
    "DisputeMoney": ("mediation",),
    "LilypadMediation": ("mediation",),
    "LilypadModules": ("modules",),
    "LilypadJobs": ("jobs",),
}
# A second or more each: last.
_SLOW = ("damaged_at_random", "single_bit", "any_pair__does", "every_call__in_each_state", "Machine", "/invariants/")
_TEST_SECONDS = 120
_MOST_SECONDS = 900


class Switch:
    """Sets the mutant that every EVM of this process runs with, and lifts the limit of code size."""

    def __init__(self, build: Path) -> None:
        self._number = 0
        self._evms: WeakSet[Any] = WeakSet()
        evm_module.BUILD = build
        evm_module._GAS_LIMIT = 2**36  # of a block; calls keep their own, the defaults of its functions
        deploy, init = evm_module.Evm.deploy, evm_module.Evm.__init__
        switch = self

        def fresh_with_switch(chain: Any) -> EVM:
            config = CfgEnv(chain_id=chain.chain_id, limit_contract_code_size=2**24)
            made = EVM(env=Env(cfg=config, block=chain._block()), spec_id=chain._spec, gas_limit=2**40)
            made.set_balance(SWITCH_ADDRESS, switch._number)
            return made

        def remember(chain: Any, *arguments: Any, **options: Any) -> None:
            init(chain, *arguments, **options)
            switch._evms.add(chain)

        def deploy_large(chain: Any, name: str, *arguments: Any, gas: int = 2**32, **options: Any) -> Any:
            return deploy(chain, name, *arguments, gas=gas, **options)

        evm_module.Evm._fresh = fresh_with_switch  # type: ignore[method-assign]
        evm_module.Evm.__init__ = remember  # type: ignore[method-assign]
        evm_module.Evm.deploy = deploy_large  # type: ignore[method-assign]

    def turn_on(self, number: int) -> None:
        self._number = number
        for chain in self._evms:
            chain._evm.set_balance(SWITCH_ADDRESS, number)


class Killer:
    """A pytest plugin that runs mutants instead of a plain test run. `tell` hears of each mutant's end."""

    def __init__(self, switch: Switch, mutants: list[tuple[int, Mutant]], tell: Callable[[Mutant, dict[str, Any]], None]) -> None:
        self._switch, self._mutants, self._tell = switch, mutants, tell
        self._known: dict[str, bool] = {}
        self._kills: dict[str, Counter[str]] = defaultdict(Counter)
        self.left_out: list[str] = []
        self.first_failure = ""
        self.tests = 0

    @pytest.hookimpl
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.tests = len(session.items)
        files = {item.path: item for item in reversed(session.items)}
        good = [item for item in files.values() if self._passes(item)]
        if not good:
            raise pytest.UsageError(f"no test passes without a mutant: {self.first_failure}")
        for number, mutant in self._mutants:
            began = time.monotonic()
            answer = self._until_killed(session, number, mutant)
            answer["seconds"] = round(time.monotonic() - began, 2)
            if answer["killer"]:
                self._kills[mutant.place][answer["killer"]] += 1
                self._kills[mutant.file][answer["killer"]] += 1
            self._tell(mutant, answer)
        return True

    def _until_killed(self, session: pytest.Session, number: int, mutant: Mutant) -> dict[str, Any]:
        """The first death by a test that passes without the mutant, or what else came of it."""
        while True:
            items = [item for item in session.items if self._known.get(item.nodeid, True)]
            answer = self._run(session, number, mutant, self._order(mutant, items))
            killer = next((item for item in items if item.nodeid == answer["killer"]), None)
            if killer is None or self._passes(killer):
                return answer

    def _passes(self, item: pytest.Item) -> bool:
        """Whether a test passes without a mutant; asked once."""
        if item.nodeid not in self._known:
            # Another test is named as the next one, so that what all share stays.
            item.session._setupstate.teardown_exact(item)
            following = next(other for other in item.session.items if other is not item)
            reports = runtestprotocol(item, log=False, nextitem=following)
            self._known[item.nodeid] = all(report.passed for report in reports)
            if not self._known[item.nodeid]:
                self.left_out.append(item.nodeid)
                self.first_failure = self.first_failure or next(r.longreprtext for r in reports if r.failed)
        return self._known[item.nodeid]

    def _order(self, mutant: Mutant, items: list[pytest.Item]) -> list[pytest.Item]:
        here, file = self._kills[mutant.place], self._kills[mutant.file]
        stem = Path(mutant.file).stem
        near, reach = _NEAR[stem], tuple(f"tests/contracts/{part}" for part in _REACH.get(stem, ("",)))

        def rank(item: pytest.Item) -> tuple[int, int]:
            name = item.nodeid
            if name in here:
                return 0, -here[name]
            slow = any(part in name for part in _SLOW)
            if name in file and not slow:
                return 1, -file[name]
            close = any(f"/{part}" in name for part in near)
            return (4 if slow else 2 if close else 3), 0

        reached = [item for item in items if stem not in _REACH or item.nodeid.startswith(reach)]
        return sorted(reached, key=rank)

    def _run(self, session: pytest.Session, number: int, mutant: Mutant, order: list[pytest.Item]) -> dict[str, Any]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._in_child(session, number, mutant, order, writing)
        os.close(writing)
        ready, _, _ = select.select([reading], [], [], _MOST_SECONDS)
        text = os.read(reading, 65_536) if ready else b""
        if not text:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        # A child that dies without a word was killed by what the mutant did to it: that is noticed, too.
        return json.loads(text) if text else {"outcome": "timeout" if not ready else "crash", "killer": "", "ran": 0}

    def _in_child(
        self, session: pytest.Session, number: int, mutant: Mutant, order: list[pytest.Item], writing: int
    ) -> None:
        def say(outcome: str, killer: str, ran: int) -> None:
            os.write(writing, json.dumps({"outcome": outcome, "killer": killer, "ran": ran}).encode())
            os._exit(0)

        at = 0
        try:
            signal.signal(signal.SIGALRM, lambda *_: say("timeout", order[at].nodeid, at))
            # What the last test needed goes; in front of a constructor's mutant all of it, so that the contracts are made anew.
            session._setupstate.teardown_exact(None if mutant.place.endswith(".constructor") else order[0])
            self._switch.turn_on(number)
            for at, item in enumerate(order):  # noqa: B007 - the handler reads it
                signal.alarm(_TEST_SECONDS)
                following = order[at + 1] if at + 1 < len(order) else None
                reports = runtestprotocol(item, log=False, nextitem=following)
                if any(report.failed for report in reports):
                    say("killed", item.nodeid, at + 1)
            say("survived", "", len(order))
        except BaseException:
            say("crash", order[at].nodeid, at)
