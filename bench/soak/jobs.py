"""Creators of a soak: the real client, with random jobs, and with what people do to their jobs afterwards.

Each account is one thread that posts at its pace and carries its jobs on in turn, as `lilypad job resume` would.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.cancelling import Cancelling
from lilypad_agents.agents.creator.challenging import Challenging
from lilypad_agents.agents.creator.client import FINAL, Creator
from lilypad_agents.agents.creator.decide import Policy
from lilypad_agents.agents.creator.delivery import read_note
from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.agents.creator.modules import ResolvedModule
from lilypad_agents.agents.creator.request import JobRequest, Wishes
from lilypad_agents.agents.creator.runner import JobRunner
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.errors import ContractReverted
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.devnet.chain import CHAIN
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import CHEATER, FIRST_PROVIDER, SECOND_PROVIDER
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.consent import Waiver, by_own_key
from lilypad_agents.protocol.ids import NOBODY, hex_of
from lilypad_agents.protocol.terms import UNVERIFIED

TOKEN = 10**18
LABELS = {name: f"{name}:v0.0.1" for name in ("cowsay", "wordcount", "primes")}
PRIMES_UNITS = 50  # most units of a metered job
MOST_PRICE = 100 * TOKEN
JUDGE_S = (25, 70)  # judge windows, seconds
MOST_LIVE = 80  # jobs that one creator looks after at a time
# How a creator treats a job, and how often of a hundred; the second group only where somebody judges.
HABITS = {
    "agrees": 48,  # fetches, verifies, accepts
    "waives unseen": 10,  # signs the waiver without having fetched anything, let alone run it
    "is silent": 8,  # fetches, and says nothing
    "abandons": 10,  # posts and never comes back
    "hurries": 4,  # a submit window as short as providers take, which one that was stopped or killed misses
    "cancels": 5,  # the offer, or the deal by agreement, wherever it stands after a while
    "reruns": 7,  # runs the job itself, waives what is right and challenges what is not; most of them ask for the cheat
    "challenges": 4,  # pays a panel, whether the result is right or not
    "challenges delivery": 4,  # although it was delivered
}
JUDGED = frozenset({"reruns", "challenges", "challenges delivery"})
_WORDS = ("moo", "lily", "pad", "frog", "pond", "grass", "milk", "sky", "\u0101\u0113", "\U0001f42e", "a\tb", "'quoted'")


@dataclass
class Tally:
    """What all creators have done. `ends`: how the client said that a job ended; `errors`: by code, waited out or not."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    posted: Counter[str] = field(default_factory=Counter)
    modules: Counter[str] = field(default_factory=Counter)
    pools: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    held_back: int = 0
    cheats_seen: int = 0  # by an own run
    unexpected: list[str] = field(default_factory=list)

    def count(self, counter: Counter[str], name: str) -> None:
        with self.lock:
            counter[name] += 1

    def wonder(self, text: str) -> None:
        with self.lock:
            if len(self.unexpected) < 20:
                self.unexpected.append(text)

    @property
    def total(self) -> int:
        return sum(self.posted.values())


@dataclass
class Live:
    """A job that somebody looks after. `step` carries it on; True: no more to be done by us."""

    habit: str
    runner: JobRunner
    step: Callable[[], bool]
    begun: float
    due: float = 0.0
    acted: bool = False
    act_at: float = 0.0

    def postpone(self, now: float) -> None:
        """The older, the less often."""
        age = now - self.begun
        self.due = now + (0.7 if age < 6 else 2.0 if age < 60 else 5.0)


class Customer(threading.Thread):
    """One creator. `pause_s`: mean time between two jobs. `quit` ends posting; the thread ends when its jobs have ended."""

    def __init__(
        self,
        settings: CreatorSettings,
        account: int,
        seed: int,
        pause_s: float,
        tally: Tally,
        texts: Path,
        judge_s: tuple[int, int] = JUDGE_S,
    ) -> None:
        super().__init__(daemon=True, name=f"creator {account}")
        self.creator = Creator(settings, signer=signer_from_test_mnemonic(account, CHAIN))
        self.modules: Mapping[str, ResolvedModule] = {
            name: self.creator.session.modules.resolve(label) for name, label in LABELS.items()
        }
        self.pool = settings.pool_terms()
        self.tally = tally
        self.live: list[Live] = []
        self._random = random.Random(f"{seed} {account}")
        self._pause_s = pause_s
        self._texts = texts
        self._judge_s = judge_s
        self._number = 0
        self._quit = threading.Event()
        self._leave = threading.Event()

    def run(self) -> None:
        due = time.monotonic() + self._random.uniform(0, self._pause_s)
        while not self._leave.is_set() and (self.live or not self._quit.is_set()):
            now = time.monotonic()
            while not self._quit.is_set() and due <= now:
                due += self._random.expovariate(1 / self._pause_s)
                self._guarded(self._order)
            for job in [job for job in self.live if job.due <= now]:
                if self._guarded(job.step):
                    self.live.remove(job)
                job.postpone(time.monotonic())
            self._leave.wait(0.1)
        self.creator.close()

    def quit(self) -> None:
        self._quit.set()

    def leave(self, seconds: float = 30.0) -> None:
        self._quit.set()
        self._leave.set()
        self.join(seconds)

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """A step that may fail: the next one tries again, as a user would."""
        try:
            return step()
        except ContractReverted as error:
            name = error.decoded.name if error.decoded is not None else "no reason"
            self.tally.count(self.tally.errors, f"{error.code}: {name}")
        except LilypadError as error:
            self.tally.count(self.tally.errors, error.code)
        except Exception as error:  # a defect of the client: it has to be in the report, and the soak goes on
            self.tally.count(self.tally.errors, f"unexpected {type(error).__name__}")
            self.tally.wonder(f"{type(error).__name__}: {error}")
        return False

    # ---- ordering

    def _order(self) -> bool:
        """Posts one random job."""
        if len(self.live) >= MOST_LIVE:
            with self.tally.lock:
                self.tally.held_back += 1
            return False
        dice = self._random
        habit = dice.choices(list(HABITS), list(HABITS.values()))[0]
        judged = habit in JUDGED or dice.random() < 0.6
        name = "cowsay" if habit == "hurries" else dice.choices(list(LABELS), (70, 20, 10))[0]
        wishes = self._wishes(habit, name, judged)
        request = JobRequest(LABELS[name], self._values(habit, name), self._files(name), wishes)
        prepared = self.creator.prepare(request, self.modules[name])
        job = self.creator.start(prepared, MOST_PRICE)
        runner = self.creator.runner(job, policy=_policy(habit))
        self.tally.count(self.tally.posted, habit)
        self.tally.count(self.tally.modules, name)
        self.tally.count(self.tally.pools, "mediated" if judged else "unverified")
        now = time.monotonic()
        live = Live(habit, runner, lambda: False, now, act_at=now + dice.uniform(0.5, 15.0))
        live.step = self._steps(live)
        self.live.append(live)  # the first step posts it
        return True

    def _wishes(self, habit: str, module: str, judged: bool) -> Wishes:
        dice = self._random
        targets = (FIRST_PROVIDER, SECOND_PROVIDER, CHEATER)
        target = CHEATER if habit in ("reruns", "challenges") and dice.random() < 0.6 else dice.choices((None, *targets), (25, 25, 25, 25))[0]
        return Wishes(
            max_price=MOST_PRICE,
            max_units=PRIMES_UNITS if module == "primes" else None,
            submit_window=dice.randint(15, 20) if habit == "hurries" else None,
            judge_window=dice.randint(*self._judge_s),
            checks=dice.choices(("standard", "light", "strict", "every-time"), (82, 8, 8, 2))[0],
            pool=self.pool if judged else UNVERIFIED,
            provider=NOBODY if target is None else address_of(target),
            match_seconds=90,
        )

    def _values(self, habit: str, module: str) -> dict[str, Any]:
        dice = self._random
        self._number += 1
        if module == "cowsay":
            return {"Message": f"{self._number} " + " ".join(dice.choices(_WORDS, k=dice.randint(1, 60)))}
        if module == "primes":
            return {"Limit": dice.randint(2, 3_000_000)}
        return {}

    def _files(self, module: str) -> dict[str, Path]:
        if module != "wordcount":
            return {}
        files = {}
        for name in ("text.txt", "text2.txt")[: self._random.randint(1, 2)]:
            path = self._texts / f"{self.name} {name}"
            path.write_text(" ".join(self._random.choices(_WORDS, k=self._random.randint(1, 20_000))))
            files[name] = path
        return files

    # ---- afterwards

    def _steps(self, live: Live) -> Callable[[], bool]:
        special: dict[str, Callable[[Live], bool]] = {
            "abandons": self._abandon,
            "waives unseen": self._waive_unseen,
            "cancels": self._cancel,
            "reruns": self._rerun,
            "challenges": lambda job: self._challenge(job, delivery=False),
            "challenges delivery": lambda job: self._challenge(job, delivery=True),
        }
        step = special.get(live.habit, self._follow)
        return lambda: step(live)

    def _follow(self, live: Live) -> bool:
        """Carries a job on to its end."""
        live.runner.step()
        outcome = live.runner.outcome(FINAL)
        if outcome is None:
            return False
        self.tally.count(self.tally.ends, "success" if outcome.error is None else outcome.error.code)
        return True

    def _abandon(self, live: Live) -> bool:
        live.runner.step()
        return live.runner.job.stage is not Stage.SIGNED

    def _waive_unseen(self, live: Live) -> bool:
        if live.runner.job.stage is Stage.SIGNED:
            live.runner.step()
        live.runner.look()
        job = live.runner.job
        if job.deal is None:
            return live.runner.outcome(FINAL) is not None
        note = next((read_note(item.body) for item in self.creator.session.quick_solver.messages(job.deal) if item.kind == "result"), None)
        if note is None:
            return self._follow(live)
        session = self.creator.session
        digest = session.chain.domain.digest(Waiver(deal_id=job.deal, result_digest=note.digest).struct_hash)
        session.solver.message(job.deal, "waiver", {"signature": hex_of(by_own_key(session.signer.sign_digest(digest)))})
        self.tally.count(self.tally.ends, "left alone after an unseen waiver")
        return True

    def _cancel(self, live: Live) -> bool:
        if time.monotonic() >= live.act_at and not live.acted:
            live.acted = True
            cancelling = Cancelling(self.creator, live.runner.job)
            cancelling.carry_out(cancelling.plan())
        return self._follow(live)

    def _rerun(self, live: Live) -> bool:
        live.runner.step()
        outcome = live.runner.outcome(FINAL)
        if outcome is None:
            return False
        if live.runner.job.doubted and not outcome.is_final and not live.acted:
            live.acted = True
            with self.tally.lock:
                self.tally.cheats_seen += 1
            self._begin_dispute(live.runner.job, delivery=False)
        live.runner = self.creator.runner(live.runner.job, policy=Policy(accept=False))
        live.step = lambda: self._follow(live)
        return False

    def _challenge(self, live: Live, *, delivery: bool) -> bool:
        if not live.acted and live.runner.take_delivery() is not None:
            live.acted = True
            self._begin_dispute(live.runner.job, delivery=delivery)
        return self._follow(live)

    def _begin_dispute(self, job: Job, *, delivery: bool) -> None:
        challenging = Challenging(self.creator, job, delivery=delivery)
        challenging.carry_out(challenging.plan(), "soak")


def _policy(habit: str) -> Policy:
    if habit == "reruns":
        return Policy(rerun=True)
    return Policy(accept=habit in ("agrees", "hurries", "cancels"), challenge=habit in ("agrees", "hurries", "cancels"))
