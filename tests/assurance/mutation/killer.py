"""Which test notices which mutant: contract tests in this process, one fork a mutant, the likeliest killers first.

First, with no mutant on, the worlds that tests share are built once, and each test runs in a fork: whether it passes (what fails
here, by gas and size limits, since the switches cost both, is left out), what it costs, and which mutants it asks for at all. The
tests are deterministic, so a mutant that a test does not ask for changes nothing in it. Each mutant then runs against the tests
that reach it, in a fork, until the first fails, and after those against tests whose shared world reaches it, with that world
built anew; a test that fails after others has to fail alone, too. A mutant that no test reaches has survived; so has one that is
alive when its budget of processor time is spent.
"""

from __future__ import annotations

import gc
import json
import resource
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.scope import Scope
from hypothesis import HealthCheck, Phase, settings

from tests.assurance.mutation.build import PROJECT, fingerprint, write_whole
from tests.assurance.mutation.forks import Say, in_forks
from tests.assurance.mutation.mutants import Mutant
from tests.assurance.mutation.switch import Switch

PATHS = ("tests/contracts/core", "tests/contracts/mediation", "tests/contracts/staking", "tests/contracts/modules",
         "tests/contracts/jobs", "tests/contracts/test_vectors.py", "tests/contracts/randomness/test_sources_in_deals.py",
         "tests/contracts/periphery")  # fmt: skip
_SHARED = ("tests/support", "tests/reference", "lilypad_agents/protocol", "lilypad_agents/chain")


def without_shrinking() -> None:
    """Of hypothesis; and without a memory: a mutant is dead at the first counterexample, and must not colour the next."""
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True,
                              deadline=None, suppress_health_check=list(HealthCheck))  # fmt: skip
    settings.load_profile("mutation")


@dataclass(frozen=True)
class Record:
    """A test with no mutant on. `anew`: what it reaches when the worlds that it shares are built in it, for one of each kind."""

    of: str  # the sources
    failure: str
    seconds: float
    reached: list[int]
    anew: list[int] | None = None


class Killer:
    """A pytest plugin that runs mutants instead of a plain test run. `tell` hears of each mutant's end."""

    def __init__(
        self, switch: Switch, mutants: list[tuple[int, Mutant]], folder: Path, *, jobs: int, budget: float,
        tell: Callable[[Mutant, dict[str, Any]], None],
    ) -> None:  # fmt: skip
        """`budget`: seconds of processor time a mutant."""
        self._switch, self._mutants, self._folder, self._jobs = switch, mutants, folder, jobs
        self._budget, self._tell = budget, tell
        self._kills: dict[str, Counter[str]] = defaultdict(Counter)
        self._records = self._kept()
        self._items: dict[str, pytest.Item] = {}
        self._kinds: dict[str, frozenset[str]] = {}

    @property
    def tests(self) -> list[str]:
        return sorted(name for name, record in self._records.items() if not record.failure)

    @property
    def left_out(self) -> list[str]:
        return sorted(name for name, record in self._records.items() if record.failure)

    @pytest.hookimpl
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._keep_worlds(session)
        self._record()
        if not self.tests:
            raise pytest.UsageError("no test passes without a mutant")
        # What is here stays here: a collection in a fork would copy all of its memory.
        gc.collect()
        gc.freeze()
        for (_, mutant), answer, seconds in in_forks(self._reached(), self._in_fork, self._jobs):
            answer = answer or {"outcome": "crash", "killer": "", "ran": 0, "not_run": 0}
            if answer["killer"]:
                self._kills[mutant.place][answer["killer"]] += 1
                self._kills[mutant.file][answer["killer"]] += 1
            self._tell(mutant, answer | {"seconds": round(seconds, 2)})
        return True

    # ---- worlds and records

    def _keep_worlds(self, session: pytest.Session) -> None:
        """What the tests of a module share lives as long as the run, and one test of each kind runs, so that it is there."""
        shared: set[str] = set()
        for name, definitions in session._fixturemanager._arg2fixturedefs.items():
            for definition in definitions:
                if definition._scope in (Scope.Module, Scope.Session) and definition.baseid.startswith("tests"):
                    definition._scope = Scope.Session
                    shared.add(name)
        self._kinds = {name: frozenset(shared & set(item.fixturenames)) for name, item in self._items.items()}  # type: ignore[attr-defined]
        first = {kind: name for name, kind in reversed(self._kinds.items())}
        for number, name in enumerate(first.values(), 1):
            print(f"world {number} of {len(first)}: {name}", flush=True)
            self._run(self._items[name])

    def _kept(self) -> dict[str, Record]:
        kept = self._folder / "reach.json"
        found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        return {name: Record(**record) for name, record in found.items()}

    def _record(self) -> None:
        """What each test does with no mutant on; what is known from before stays while its sources do."""
        shared = [path.read_text(encoding="utf-8") for folder in _SHARED for path in sorted((PROJECT / folder).rglob("*.py"))]
        shared += [path.read_text(encoding="utf-8") for path in sorted((PROJECT / "tests").rglob("conftest.py"))]
        sources = {path: fingerprint(path.read_text(encoding="utf-8"), shared) for path in {item.path for item in self._items.values()}}
        now = {name: sources[item.path] for name, item in self._items.items()}
        self._records = {name: record for name, record in self._records.items() if record.of == now.get(name)}
        missing = [name for name in now if name not in self._records]
        seen = {kind for name, kind in self._kinds.items() if name in self._records and self._records[name].anew is not None}
        wanted = set({self._kinds[name]: name for name in missing if self._kinds[name] not in seen}.values())

        def look(name: str, say: Say) -> dict[str, Any]:
            return asdict(self._look(now[name], self._items[name], name in wanted))

        for done, (name, answer, _) in enumerate(in_forks(missing, look, self._jobs), 1):
            self._records[name] = Record(**answer) if answer else Record(now[name], "its process died", 0.0, [])
            if self._records[name].failure:
                print(f"fails without a mutant: {name}: {self._records[name].failure}", flush=True)
            if done % 50 == 0 or done == len(missing):
                print(f"{done} of {len(missing)} tests looked at", flush=True)
                write_whole(self._folder / "reach.json", json.dumps({name: asdict(record) for name, record in self._records.items()}))

    def _look(self, of: str, item: pytest.Item, wanted: bool) -> Record:
        self._switch.trace()
        began = time.process_time()
        failure = self._run(item)
        seconds = time.process_time() - began
        reached = self._switch.traces()
        anew = None
        if wanted:
            item.session._setupstate.teardown_exact(None)
            self._run(item)
            anew = self._switch.traces()
        return Record(of, failure, round(seconds, 3), reached, anew)

    def _run(self, item: pytest.Item) -> str:
        """Why a test failed; empty if it passed. Another test is named as the next one, so that what all share stays."""
        item.session._setupstate.teardown_exact(item)
        following = next(other for other in item.session.items if other is not item)
        reports = runtestprotocol(item, log=False, nextitem=following)
        return next((report.longreprtext[-500:] or report.outcome for report in reports if not report.passed), "")

    # ---- mutants

    def _reached(self) -> Iterator[tuple[int, Mutant]]:
        """Those that some test reaches. The others have survived: told here."""
        for number, mutant in self._mutants:
            if any(self._plan(number, mutant)):
                yield number, mutant
            else:
                self._tell(mutant, {"outcome": "survived", "killer": "", "ran": 0, "not_run": 0, "seconds": 0.0})

    def _plan(self, number: int, mutant: Mutant) -> tuple[list[str], list[list[str]]]:
        """The tests that reach it, and by world those that share one which reaches it, the test that was looked at in front;
        first those that are short, that reach little else, and that killed its neighbours."""
        here, file = self._kills[mutant.place], self._kills[mutant.file]

        def rank(name: str) -> float:
            record = self._records[name]
            return (record.seconds + 0.01) * len(record.reached) / (1 + 10 * here[name] + file[name])

        reaching = [name for name in self.tests if number in self._sets[name]]
        sharing = []
        for first in (name for name in self.tests if number in (self._records[name].anew or ())):
            others = [name for name in self.tests if self._kinds[name] == self._kinds[first] and name != first]
            sharing.append([first, *sorted(others, key=rank)])
        return sorted(reaching, key=rank), sharing

    @cached_property
    def _sets(self) -> dict[str, set[int]]:
        return {name: set(record.reached) for name, record in self._records.items()}

    def _in_fork(self, task: tuple[int, Mutant], say: Say) -> dict[str, Any]:
        number, mutant = task
        reaching, sharing = self._plan(number, mutant)
        ran = not_run = 0
        self._switch.turn_on(number)
        for names, anew in ((reaching, False), *((names, True) for names in sharing)):
            while names:
                found = self._first_death(names, anew)
                ran += found["ran"]
                not_run += found["not_run"]
                # A test that was not the first may have stumbled over what another left behind: its word counts alone.
                if found["outcome"] == "killed" and found["ran"] > 1:
                    found |= {"outcome": self._first_death([found["killer"]], anew)["outcome"]}
                if found["outcome"] != "survived":
                    return {"outcome": found["outcome"], "killer": found["killer"], "ran": ran, "not_run": 0}
                names = names[names.index(found["killer"]) + 1 :] if found["killer"] else []
        return {"outcome": "survived", "killer": "", "ran": ran, "not_run": not_run}

    def _first_death(self, names: list[str], anew: bool) -> dict[str, Any]:
        """What comes of these tests, one after the other in a fork. `anew`: they build what they share themselves."""
        ((_, found, _),) = in_forks([_spent()], lambda spent, say: self._in_turn(names, anew, spent, say), 1)
        # A fork that dies was killed by the mutant.
        return found or {"outcome": "crash", "killer": "", "ran": 1, "not_run": 0}

    def _in_turn(self, names: list[str], anew: bool, spent: float, say: Say) -> dict[str, Any]:
        gc.disable()
        if anew:
            self._items[names[0]].session._setupstate.teardown_exact(None)
        ran = not_run = 0
        for name in names:
            usual = self._records[name].seconds
            if spent + time.process_time() + usual > self._budget:
                not_run += 1
                continue
            ran += 1
            # A test that takes ten times as long as usual hangs, by the mutant.
            late = {"outcome": "timeout", "killer": name, "ran": ran, "not_run": 0}
            signal.signal(signal.SIGPROF, lambda *_, late=late: say(late))  # type: ignore[misc]
            signal.setitimer(signal.ITIMER_PROF, 20 + 10 * usual)
            if self._run(self._items[name]):
                return {"outcome": "killed", "killer": name, "ran": ran, "not_run": 0}
        return {"outcome": "survived", "killer": "", "ran": ran, "not_run": not_run}


def _spent() -> float:
    """Seconds of processor time of this process and those that it started."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
