"""One run of one fault: what was injected when, what was noticed when, and what the chain says afterwards."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from tests.faults.scene import Scene, Unreached
from tests.faults.scenes import SCENES, KeeperScene, MediatorScene

EARLY, LATE = "before the deadline", "past the deadline"
BLOCK_S = 2  # so that "within two blocks" is four seconds, on a machine that does other things as well
BACK_S = 2 * BLOCK_S
Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """What the acceptance list asks of a run, and why it counts as missed ("" for passed)."""

    id: str
    seed: int
    role: str
    state: str
    side: str
    injected_at: str
    noticed_after_s: float | None
    recovered_after_s: float | None
    wrong_actions: int
    money_conserved: bool
    deals_stuck: int
    deals: int
    endings: str
    transactions: int
    wall_s: float
    missed: str
    note: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        times = f"noticed {_seconds(self.noticed_after_s)}, recovered {_seconds(self.recovered_after_s)}"
        chain = f"wrong {self.wrong_actions}, money {'conserved' if self.money_conserved else 'LOST'}, stuck {self.deals_stuck}"
        return (
            f"{self.id:4} {'MISS' if self.missed else 'ok':4} seed {self.seed} {self.role}, {self.state}, {self.side}: "
            f"{self.injected_at}; {times}; {chain}; {self.wall_s:.1f} s {self.missed} | {self.note[:300]}"
        )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


@dataclass
class Run:
    """In a scenario's hands. `expect` notes a miss; what the chain says is added at the end."""

    id: str
    seed: int
    role: str
    state: str
    side: str
    folder: Path
    misses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    injected_at: str = "not injected"
    noticed: float | None = None
    recovered: float | None = None
    scene: Scene | None = None
    _injected: float = 0.0
    _mended: float = 0.0
    _told_before: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.id} {self.seed} {self.role} {self.state} {self.side}")

    @property
    def late(self) -> bool:
        return self.side == LATE

    def make(self, *, changes: Mapping[str, Any] | None = None, **network: Any) -> Scene:
        """The role's scene, with nothing started."""
        self.scene = SCENES[self.role](self.folder, self.rng, **({"block_time_s": BLOCK_S} | network))
        self.scene.changes.update(changes or {})
        return self.scene

    def begin(self, *, changes: Mapping[str, Any] | None = None, **network: Any) -> Scene:
        """The scene with its agent running and a deal in the run's state."""
        scene = self.make(changes=changes, **network)
        scene.start()
        scene.reach(self.state)
        return scene

    # ---- the course of a fault

    def inject(self, fault: Callable[[], object]) -> None:
        assert self.scene is not None
        now = self.scene.network.now()
        self.injected_at = f"block {self.scene.head()}, time {now}"
        self.scene.reruns = False
        if isinstance(self.scene, MediatorScene):
            self.scene.opens = True  # the fault is the agent's alone: the provider opens in its window all the same
        if isinstance(self.scene, KeeperScene):
            self.scene.relay.faults.discard("no content")  # and the seats, another's here, get what they need
        self._told_before = len(self.scene.agent.log())
        self._injected = time.monotonic()
        fault()

    def notice(self, sign: Callable[[], Any], seconds: float, what: str, *, play: bool = True) -> None:
        """Waits for the sign that the agent noticed."""
        self.noticed = self._wait(sign, seconds, f"it was not noticed: {what}", self._injected, play)

    def told(self, event: str, *words: str) -> list[dict[str, Any]]:
        """The agent's log lines of an event since the fault, with these words in them."""
        assert self.scene is not None
        lines = self.scene.agent.log()[self._told_before :]
        return [line for line in lines if line["event"] == event and all(word in str(line) for word in words)]

    def end(self, seconds: float = 90.0) -> None:
        """For a fault that lasts: the deal ends all the same, within so many seconds."""
        assert self.scene is not None
        self.scene.reruns = True
        self.scene.finish(seconds)
        if self.recovered is None:
            self.recovered = time.monotonic() - self._injected
        self.expect(self.scene.ready(), "it is not ready")

    def mend(self, repair: Callable[[], object]) -> None:
        assert self.scene is not None
        repair()
        self.scene.reruns = True
        self._mended = time.monotonic()

    def recover(self, sign: Callable[[], Any], seconds: float, what: str = "ready") -> None:
        """Waits for the sign that the agent works again, and holds it to `seconds`."""
        since = self._mended or self._injected
        self.recovered = self._wait(sign, max(30.0, seconds), f"it did not recover: {what}", since, True)
        self.expect(self.recovered <= seconds, f"recovered after {self.recovered:.1f} s, allowed are {seconds:.0f} s")

    def _wait(self, sign: Callable[[], Any], seconds: float, told: str, since: float, play: bool) -> float:
        assert self.scene is not None
        if play:
            self.scene.until(sign, seconds, told)
        else:
            end = time.monotonic() + seconds
            while not sign():
                if time.monotonic() > end:
                    raise Unreached(told)
                time.sleep(0.02)
        return time.monotonic() - since

    def expect(self, truth: object, otherwise: str) -> None:
        if not truth:
            self.misses.append(otherwise)

    def forgive_seats(self) -> None:
        """The fault lasts longer than a seat has to reveal: the round may end without it, at nobody's fault but the seat's."""
        assert self.scene is not None
        if self.role in ("mediator", "keeper"):
            self.scene.endings |= {Status.NO_FAULT}

    def outlast(self) -> None:
        """On the late side: the deal's deadline passes while the fault lasts, and its end is another one."""
        assert self.scene is not None
        if not self.late:
            return
        if self.role == "provider":
            if self.state in ("agreed", "running"):
                self.scene.pass_time(610)
                self.scene.endings = frozenset({Status.TIMED_OUT})
            else:
                self.scene.pass_time(65)
        else:
            self.scene.pass_time(24)
            self.scene.endings = frozenset({Status.MEDIATION_ACCEPTED, Status.NO_FAULT})


Scenario = Callable[[Run], None]


@dataclass(frozen=True)
class Fault:
    """A row of the list: where it may be injected (roles and the states of their deals), on one side of a deadline or both."""

    id: str
    scenario: Scenario
    places: Places
    late: Places

    def spots(self) -> list[tuple[str, str, str]]:
        """All of role, state and side."""
        early = [(role, state, EARLY) for role, states in self.places.items() for state in states]
        return early + [(role, state, LATE) for role, states in self.late.items() for state in states]


FAULTS: dict[str, Fault] = {}


def fault(id_: str, places: Places, late: Places | None = None) -> Callable[[Scenario], Scenario]:
    """Puts a scenario into the table."""

    def put(scenario: Scenario) -> Scenario:
        assert id_ not in FAULTS, id_
        FAULTS[id_] = Fault(id_, scenario, places, late or {})
        return scenario

    return put


def play(id_: str, seed: int, spot: tuple[str, str, str], folder: Path) -> Line:
    """Runs a fault in a folder of its own; never raises."""
    run = Run(id_, seed, *spot, folder)
    began = time.monotonic()
    try:
        FAULTS[id_].scenario(run)
    except (Unreached, AssertionError) as error:
        run.misses.append(str(error) or repr(error))
    except Exception as error:
        run.misses.append(f"{error!r} at {traceback.extract_tb(error.__traceback__)[-1]}")
    return _line(run, began)


def _line(run: Run, began: float) -> Line:
    """The chain's word is asked for while the chain still runs."""
    scene, wrong, money, stuck, endings, sent = run.scene, 0, False, 0, "", 0
    try:
        if scene is not None:
            found = scene.audit()
            unfit = [f"{deal} ended {status.name}" for deal, status in found.endings.items() if _unfit(scene, deal, status)]
            complaints = [*found.wrong, *unfit]
            wrong, stuck, sent, money = len(complaints), len(found.open), found.transactions, not found.money
            endings = ", ".join(sorted(status.name for status in found.endings.values()))
            run.misses += complaints + [text for text in (found.money,) if text]
            run.misses += [f"deal {deal} is stuck" for deal in found.open]
    except Exception as error:
        run.misses.append(f"the audit failed: {error!r}")
    finally:
        if scene is not None:
            deals = len(scene.deals)
            if run.misses:
                run.notes.append(scene.agent.output()[-600:])
            scene.close()
    return Line(
        run.id, run.seed, run.role, run.state, run.side, run.injected_at, _rounded(run.noticed), _rounded(run.recovered), wrong,
        money, stuck, deals if scene is not None else 0, endings, sent, round(time.monotonic() - began, 1),
        "; ".join(run.misses), "; ".join(note for note in run.notes if note),
    )  # fmt: skip


def _unfit(scene: Scene, deal: str, status: Status) -> bool:
    return status.is_final and status not in scene.endings and deal not in {hex_of(other) for other in scene.spared}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
