"""Many disputes open at once, judged by real agents; writes bench/results/disputes.json.

    make disputes, or python -m bench.disputes [--disputes 220] [--mediators 9] [--kills 9] [--seed 1]

Eight creators order jobs from an honest provider and from one that lies about half of them, take delivery, agree to nothing
and challenge every result at once. Every mediator is killed and started again while they judge. Says how many disputes were
open at the same time, how each ended, whether any verdict was wrong, and whether everybody has to the unit what the table of
protocol section 4 says. Ends 1 when a verdict was wrong, a deal has not ended, money is missing or held back, or too few were
open at once: 200, in a shorter run three quarters of its deals.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT
from bench.soak.__main__ import left, parties, settle
from bench.soak.network import SoakNetwork
from bench.soak.report import commit
from bench.soak.watch import Found, Watch
from lilypad_agents.agents.creator.challenging import Challenging
from lilypad_agents.agents.creator.client import Creator
from lilypad_agents.agents.creator.request import JobRequest, Wishes
from lilypad_agents.agents.creator.runner import JobRunner
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.devnet.chain import CHAIN
from lilypad_agents.devnet.cheater import lies_about
from lilypad_agents.devnet.funding import address_of, mediated_pool
from lilypad_agents.devnet.layout import CHEATER, FIRST_PROVIDER, MORE_CREATORS
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import challenge_fee, charge, locked_total
from lilypad_agents.protocol.units import Bps, Units

RESULT = ROOT / "bench/results/disputes.json"
DISPUTES = 220
LEAST_OPEN = 200  # at once, of as many or more
MEDIATORS = 9
LIES_PERCENT = 50
MODULE = "cowsay:v0.0.1"
MOST_PRICE = 10 * 10**18
JUDGE_S = 80  # the longest that the devnet allows
LIMIT_S = 1_200.0
_PAUSE_S = 0.2


@dataclass
class Case:
    """A job of the flood. `challenged`: by its creator, before the lottery drew it (`drawn`: afterwards); otherwise audited or settled."""

    runner: JobRunner
    challenged: bool = False
    drawn: bool = False

    @property
    def deal(self) -> DealId:
        assert self.runner.job.deal is not None
        return self.runner.job.deal

    @property
    def record(self) -> Deal:
        assert self.runner.job.record is not None
        return self.runner.job.record


@dataclass
class Accuser:
    """A creator that challenges all that it gets. `had`: its ledger balance before, smallest units."""

    creator: Creator
    cases: list[Case] = field(default_factory=list)
    had: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def order(self, jobs: int, place: int, pool: Any) -> None:
        """Posts its jobs, every second one of all creators' (`place`: which of them it is) for the provider that lies."""
        module = self.creator.session.modules.resolve(MODULE)
        self.had = self._balance()
        for number in range(jobs):
            provider = address_of(CHEATER if (number + place) % 2 else FIRST_PROVIDER)
            wishes = Wishes(max_price=MOST_PRICE, judge_window=JUDGE_S, checks="light", pool=pool, provider=provider, match_seconds=300)
            prepared = self.creator.prepare(JobRequest(MODULE, {"Message": f"{self.creator.session.account} {number}"}, {}, wishes), module)
            runner = self.creator.runner(self.creator.start(prepared, MOST_PRICE))
            self.cases.append(Case(runner))
            runner.step()

    def challenge_all(self, until: float) -> None:
        """Takes delivery of each job and challenges its result. Raises RuntimeError when that is not done by `until`."""
        waiting = list(self.cases)
        while waiting:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(waiting)} jobs were not delivered in time; {dict(self.errors)}")
            waiting = [case for case in waiting if not self._challenge(case)]
            time.sleep(_PAUSE_S)

    def _challenge(self, case: Case) -> bool:
        try:
            if case.runner.take_delivery() is None:
                return False
            challenging = Challenging(self.creator, case.runner.job, delivery=False)
            done = challenging.carry_out(challenging.plan(), "a flood")
            case.challenged, case.drawn = True, done.plan.drawn
        except LilypadError as error:  # the result is not posted yet, an audit was faster, or the solver has much to do
            self.errors[error.code] += 1
            return self._is_audited(case)
        return True

    def _is_audited(self, case: Case) -> bool:
        """Whether nothing is left to challenge. Raises errors of the chain."""
        deal = case.runner.job.deal
        return deal is not None and self.creator.session.chain.state(deal)[0].status not in (Status.NONE, Status.AGREED, Status.RESULTS_SUBMITTED)

    def gain(self) -> int:
        return self._balance() - self.had

    def _balance(self) -> int:
        ledger = self.creator.session.chain.ledger(self.creator.session.account)
        return int(ledger.free + ledger.locked)


def due_to_creator(case: Case, status: Status, fee: Bps) -> int | None:
    """What the deal changes in its creator's balance, smallest units; None where it depends on which seats answered (no fault)."""
    deal, paid = case.record, challenge_fee(case.record) if case.challenged else 0
    if status in (Status.MEDIATION_ACCEPTED, Status.ACCEPTED):
        return int(-charge(deal, Units(deal.max_units), fee).total - paid)
    if status is Status.MEDIATION_REJECTED:
        found = payouts.found_wrong(deal, fee, bounty=case.challenged and not case.drawn)
        return int(found.creator - locked_total(deal, fee) + (found.challenger if case.challenged else 0))
    return None


class Peak(threading.Thread):
    """The most deals that were in mediation at once."""

    def __init__(self, found: Found) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._found = found
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            statuses = list(self._found.statuses.values())
            self.most = max(self.most, sum(status is Status.IN_MEDIATION for status in statuses))

    def stop(self) -> int:
        self._stopping.set()
        self.join()
        return self.most


def flood(folder: Path, count: int, mediators: int, kills: int, seed: int) -> dict[str, Any]:
    """One run. Raises what starting the network raises, RuntimeError when jobs are not delivered in time."""
    on = commit()
    with SoakNetwork(folder, mediators=mediators, cheats_percent=LIES_PERCENT) as network:
        chain = network.chain()
        settings = CreatorSettings.load(file=folder / ".devnet" / "creator.toml")
        settings = settings.model_copy(update={"results": folder / "results"})
        accusers = [Accuser(Creator(settings, signer=signer_from_test_mnemonic(index, CHAIN))) for index in MORE_CREATORS]
        watch = Watch(chain, parties(chain, network))
        peak = Peak(watch.found)
        watch.start()
        peak.start()
        pool, share, began = mediated_pool(chain.book), -(-count // len(accusers)), time.monotonic()
        with ThreadPoolExecutor(len(accusers)) as threads:
            list(threads.map(lambda place: accusers[place].order(share, place, pool), range(len(accusers))))
            ordered = time.monotonic()
            list(threads.map(lambda accuser: accuser.challenge_all(began + LIMIT_S), accusers))
        challenged = time.monotonic()
        print(f"ordered in {ordered - began:.0f} s, challenged in {challenged - ordered:.0f} s", flush=True)
        killed = _kill_in_turn(network, mediators, kills, seed)
        _wait(watch.found, share * len(accusers), challenged + LIMIT_S)
        judged = time.monotonic()
        settle(chain)
        remains = left(network, chain, watch)
        found = watch.stop()
        fee = chain.parameters.protocol_fee_bps
        report: dict[str, Any] = {
            "about": "disputes open at once before real mediators, all on this machine; python -m bench.disputes",
            "commit": on, "seed": seed, "cores": os.cpu_count(),
            "mediators": mediators, "creators": len(accusers), "mediators_killed": killed,
            "deals": share * len(accusers),
            "challenged": sum(case.challenged for accuser in accusers for case in accuser.cases),
            "most_open_at_once": peak.stop(),
            "seconds": {"ordering": round(ordered - began, 1), "challenging": round(challenged - ordered, 1), "judging": round(judged - challenged, 1)},
            **_verdicts(found, accusers),
            "stuck": [f"0x{deal.hex()} {found.statuses[deal].name}" for deal in found.unfinished()],
            "money": _money(accusers, found, fee),
            "blocks": found.blocks,
            "violations": {"count": found.violated, "first": found.violations},
            "left": remains,
            "errors_waited_out": dict(sum((accuser.errors for accuser in accusers), Counter())),
        }  # fmt: skip
        for accuser in accusers:
            accuser.creator.close()
        chain.rpc.close()
    report["failures"] = failures(report, count)
    return report


def _kill_in_turn(network: SoakNetwork, mediators: int, kills: int, seed: int) -> int:
    """Kills one mediator after the other while they judge, and starts it again."""
    dice = random.Random(seed)
    for number in range(kills):
        name = f"mediator{number % mediators + 1}"
        network.kill(name)
        time.sleep(dice.uniform(0.0, 5.0))
        network.start(name)
        time.sleep(dice.uniform(2.0, 8.0))
    return kills


def _wait(found: Found, deals: int, until: float) -> None:
    """Until every deal has ended; says now and then how far it is."""
    told = 0.0
    while (len(found.statuses) < deals or found.unfinished()) and time.monotonic() < until:
        if time.monotonic() - told > 20:
            told = time.monotonic()
            print(f"{len(found.unfinished())} of {deals} deals are open", flush=True)
        time.sleep(1.0)


def _verdicts(found: Found, accusers: Sequence[Accuser]) -> dict[str, Any]:
    """How lies and honest results ended, and the verdicts that were wrong."""
    ends: dict[str, Counter[str]] = {"lies": Counter(), "honest": Counter()}
    wrong = []
    for case in (case for accuser in accusers for case in accuser.cases):
        lie = found.providers[case.deal] == address_of(CHEATER) and lies_about(case.deal, LIES_PERCENT)
        status = found.statuses[case.deal]
        ends["lies" if lie else "honest"][status.name] += 1
        if status is (Status.MEDIATION_ACCEPTED if lie else Status.MEDIATION_REJECTED):
            wrong.append(f"0x{case.deal.hex()} {status.name}")
    return {"ended_as": {kind: dict(sorted(counts.items())) for kind, counts in ends.items()}, "wrong_verdicts": wrong}


def _money(accusers: Sequence[Accuser], found: Found, fee: Bps) -> dict[str, Any]:
    """Whether each creator has to the unit what its deals' endings give it; a creator with a deal of nobody's fault is left out."""
    compared, off = 0, []
    for accuser in accusers:
        dues = [due_to_creator(case, found.statuses[case.deal], fee) for case in accuser.cases]
        if None in dues:
            continue
        compared += 1
        if sum(due for due in dues if due is not None) != accuser.gain():
            off.append(f"{accuser.creator.session.account}: {accuser.gain()} for {sum(due for due in dues if due is not None)}")
    return {"creators_compared": compared, "off": off}


def failures(report: Mapping[str, Any], count: int) -> list[str]:
    """What is not as it has to be; empty when the run passed."""
    found = []
    if report["most_open_at_once"] < (LEAST_OPEN if count >= LEAST_OPEN else 3 * count // 4):
        found.append(f"only {report['most_open_at_once']} disputes were open at once")
    if report["wrong_verdicts"]:
        found.append(f"{len(report['wrong_verdicts'])} verdicts were wrong")
    if report["ended_as"]["lies"].get(Status.ACCEPTED.name):
        found.append("a lie was paid unseen")
    if report["stuck"]:
        found.append(f"{len(report['stuck'])} deals have not ended")
    if report["money"]["off"]:
        found.append("a creator has not what the table says")
    if report["violations"]["count"]:
        found.append(f"{report['violations']['count']} violations")
    if report["left"]["locked"] or report["left"]["open_seats"]:
        found.append("money or seats are still locked")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disputes", type=int, default=DISPUTES)
    parser.add_argument("--mediators", type=int, default=MEDIATORS, help="up to nine")
    parser.add_argument("--kills", type=int, default=MEDIATORS, help="mediators that are killed and started again, in turn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the network lives; kept. Default: a temporary one")
    parser.add_argument("--no-write", action="store_true", help="only print the report")
    options = parser.parse_args()
    words = (options.disputes, options.mediators, options.kills, options.seed)
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        report = flood(options.folder.absolute(), *words)
    else:
        with tempfile.TemporaryDirectory(prefix="lilypad-disputes-") as name:
            report = flood(Path(name), *words)
    text = json.dumps(report, indent=1)
    print(text)
    if not options.no_write:
        RESULT.write_text(text + "\n")
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
