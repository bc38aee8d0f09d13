"""Which test notices which mutant: contract tests in this process, one fork a mutant, the likeliest killers first.

The tests are collected and run once with no mutant on; what fails then (gas and size limits, since the switches cost both) is
left out. The worlds that they built stay. Each mutant then runs in a fork of that process until the first test fails.
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
_LEAST_SECONDS = 20
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
        self._seconds: dict[str, float] = {}
        self._kills: dict[str, Counter[str]] = defaultdict(Counter)
        self.left_out: list[str] = []
        self.first_failure = ""
        self.tests = 0

    @pytest.hookimpl
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = self._baseline(session.items)
        self.tests = len(items)
        if not items:
            raise pytest.UsageError(f"no test passes without a mutant: {self.first_failure}")
        print(f"{len(items)} tests, {sum(self._seconds.values()):.0f} s; {len(self.left_out)} left out", flush=True)
        for number, mutant in self._mutants:
            began = time.monotonic()
            answer = self._run(session, number, mutant, self._order(mutant, items))
            answer["seconds"] = round(time.monotonic() - began, 2)
            if answer["killer"]:
                self._kills[mutant.place][answer["killer"]] += 1
                self._kills[mutant.file][answer["killer"]] += 1
            self._tell(mutant, answer)
        return True

    def _baseline(self, items: list[pytest.Item]) -> list[pytest.Item]:
        good = []
        for i, item in enumerate(items):
            began = time.monotonic()
            reports = runtestprotocol(item, log=False, nextitem=items[(i + 1) % len(items)])
            if all(report.passed for report in reports):
                good.append(item)
                self._seconds[item.nodeid] = time.monotonic() - began
            else:
                self.left_out.append(item.nodeid)
                self.first_failure = self.first_failure or next(report.longreprtext for report in reports if report.failed)
        return good

    def _order(self, mutant: Mutant, items: list[pytest.Item]) -> list[pytest.Item]:
        here, file = self._kills[mutant.place], self._kills[mutant.file]
        stem = Path(mutant.file).stem
        near, reach = _NEAR[stem], tuple(f"tests/contracts/{part}" for part in _REACH.get(stem, ("",)))

        def rank(item: pytest.Item) -> tuple[int, float]:
            name = item.nodeid
            if name in here:
                return 0, -here[name]
            if name in file and self._seconds[name] < 1:
                return 1, -file[name]
            slow = self._seconds[name] > 1
            close = any(f"/{part}" in name for part in near)
            return (2 if close and not slow else 3 if not slow else 4 if close else 5), self._seconds[name]

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
            if mutant.place.endswith(".constructor"):
                session._setupstate.teardown_exact(None)  # so that the contracts are made anew
            self._switch.turn_on(number)
            for at, item in enumerate(order):  # noqa: B007 - the handler reads it
                signal.alarm(int(_LEAST_SECONDS + 20 * self._seconds[item.nodeid]))
                following = order[at + 1] if at + 1 < len(order) else None
                reports = runtestprotocol(item, log=False, nextitem=following)
                if any(report.failed for report in reports):
                    say("killed", item.nodeid, at + 1)
            say("survived", "", len(order))
        except BaseException:
            say("crash", order[at].nodeid, at)
