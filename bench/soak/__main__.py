"""Runs a soak and writes bench/results/soak.json: `python -m bench.soak --minutes 30 --seed 1`.

Real processes: a chain, a solver, two honest providers, one that lies about four deals of ten, four mediators; eight creators
in this process. Jobs come at random for the given time; then everybody is left alone until all deals have ended, and time is
moved on for what waits for it. Ends 1 when a property was violated, a deal is stuck, or an agent grows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.soak.faults import Chaos
from bench.soak.jobs import JUDGE_S, Customer, Tally
from bench.soak.memory import Scales
from bench.soak.network import CHEATS_PERCENT, MEDIATORS, SoakNetwork
from bench.soak.report import LEAST_JOBS, LEAST_MINUTES, RESULT, commit, disputes, endings, failures, lies, loud_lines
from bench.soak.watch import Parties, Watch
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.contract import call_many
from lilypad_agents.devnet.funding import address_of, mediated_pool
from lilypad_agents.devnet.layout import CHEATER, MORE_CREATORS, ROLES, SOLVER
from lilypad_agents.devnet.layout import MEDIATORS as MEDIATOR_ACCOUNTS
from lilypad_agents.protocol.ids import Address, VersionId

JOBS_PER_SECOND = 1.3
DRAIN_S = 240.0
AFTER_TIME_S = 90.0
SETTLE_S = 60.0
_LOOK_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=LEAST_MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=JOBS_PER_SECOND, help="jobs a second")
    parser.add_argument("--folder", type=Path, help="where the network lives; kept. Default: a temporary one")
    parser.add_argument("--no-write", action="store_true", help="only print the report")
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        report = soak(options.folder.absolute(), options.minutes, options.seed, options.rate)
    else:
        with tempfile.TemporaryDirectory(prefix="lilypad-soak-") as name:
            report = soak(Path(name), options.minutes, options.seed, options.rate)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if not options.no_write:
        RESULT.write_text(text + "\n")
    return 1 if report["failures"] else 0


def soak(folder: Path, minutes: float, seed: int, rate: float, judge_s: tuple[int, int] = JUDGE_S) -> dict[str, Any]:
    """One run; `judge_s`: shortest and longest judge window. Raises what starting the network raises."""
    texts = folder / "texts"
    texts.mkdir()
    on = commit()
    with SoakNetwork(folder) as network:
        chain = network.chain()
        watch = Watch(chain, parties(chain, network))
        tally, seconds = Tally(), 60.0 * minutes
        settings = CreatorSettings.load(file=folder / ".devnet" / "creator.toml")
        settings = settings.model_copy(update={"results": folder / "results"})
        pause_s = len(MORE_CREATORS) / rate
        customers = [Customer(settings, index, seed, pause_s, tally, texts, judge_s) for index in MORE_CREATORS]
        chaos, scales = Chaos(network, seed, seconds / 3), Scales(network.pids)
        began = time.monotonic()
        for thread in (watch, scales, *customers, chaos):
            thread.start()
        _progress(began + seconds, tally, watch)
        for customer in customers:
            customer.quit()
        faults = chaos.stop()
        scales.stop()
        ended = drain(network, chain, watch)
        for customer in customers:
            customer.leave()
        found = watch.stop()
        report: dict[str, Any] = {
            "about": "a network under random jobs, cheats and faults; python -m bench.soak (make soak)",
            "commit": on,
            "seed": seed,
            "minutes": minutes,
            "jobs_per_second": rate,
            "long_enough": minutes >= LEAST_MINUTES and tally.total >= LEAST_JOBS,
            "cores": os.cpu_count(),
            "load_at_the_end": round(os.getloadavg()[2], 1),
            "agents": {"providers": 2, "cheater_lies_percent": CHEATS_PERCENT, "mediators": MEDIATORS, "creators": len(customers)},
            "jobs": {"posted": tally.total, "by_habit": dict(tally.posted), "by_module": dict(tally.modules), "by_pool": dict(tally.pools)},
            "deals": {"opened": len(found.statuses), "ended_as": endings(found.statuses.values()), **ended},
            "disputes": disputes(found),
            "lies": lies(found, address_of(CHEATER), CHEATS_PERCENT),
            "creators": {
                "ends": dict(tally.ends.most_common()),
                "errors_waited_out": dict(tally.errors.most_common()),
                "lies_found_by_own_runs": tally.cheats_seen,
                "held_back": tally.held_back,
                "unexpected": tally.unexpected,
            },
            "faults": {
                "made": sum(faults.kinds.values()),
                "by_kind": dict(faults.kinds.most_common()),
                "by_agent": dict(faults.agents.most_common()),
                "restarts_failed": faults.restarts_failed,
            },
            "blocks": {"first": found.first, "last": found.last, "checked": found.blocks, "read_again": found.read_again, "watch_waited": dict(watch.trouble)},
            "violations": {"count": found.violated, "first": found.violations},
            "left": left(network, chain, watch),
            "memory": {
                name: {**size, "judged": name != "chain"} for name, size in scales.report(seconds).items()
            },
            "chain_requests": network.requests(),
            "loud_log_lines": {name: dict(loud_lines(network.layout.agent(name) / "data" / "agent.log").most_common(12)) for name in network.agents},
        }  # fmt: skip
        chain.rpc.close()
    report["failures"] = failures(report)
    return report


def parties(chain: CreatorChain, network: SoakNetwork) -> Parties:
    """Everybody whose money the ledger of this network can hold: an account that is missing here shows as a violation."""
    accounts = {name: address_of(index) for name, index in ROLES.items()}
    accounts |= {name: Address(chain.book.address(name)) for name in chain.book.contracts}
    listed = json.loads(network.layout.aliases.read_text())["modules"]
    versions = [VersionId(bytes.fromhex(entry["version"][2:])) for entry in listed.values()]
    return Parties(accounts, versions, address_of(SOLVER), mediated_pool(chain.book))


def drain(network: SoakNetwork, chain: CreatorChain, watch: Watch) -> dict[str, Any]:
    """Waits until every deal has ended: first as it is, then with time moved beyond every deadline, then nobody is left to blame."""
    found = watch.found
    open_before = len(found.unfinished())
    quiet = _until(lambda: not found.unfinished(), DRAIN_S)
    waiting = len(found.unfinished())
    if waiting:
        limit = chain.parameters.mediation_limit + chain.parameters.reveal_window + 60
        chain.rpc.request("evm_increaseTime", limit)
        chain.rpc.request("evm_mine")
        _until(lambda: not found.unfinished(), AFTER_TIME_S)
    settle(chain)
    return {
        "open_when_posting_ended": open_before,
        "drained_after_s": round(quiet, 1),
        "ended_by_time": waiting - len(found.unfinished()),
        "stuck": [f"0x{deal.hex()} {found.statuses[deal].name}" for deal in found.unfinished()],
    }


def settle(chain: CreatorChain) -> None:
    """Waits for what follows an ending: seats are released, fees return."""
    _until(lambda: not any(seats_and_credit(chain)), SETTLE_S)


def left(network: SoakNetwork, chain: CreatorChain, watch: Watch) -> dict[str, Any]:
    """What should be gone when all deals have ended."""
    head = bytes.fromhex(chain.rpc.request("eth_getBlockByNumber", "latest", False)["hash"][2:])
    (answer,) = chain.rpc.batch([watch.ledger.at(head)])
    seats, credit = seats_and_credit(chain)
    return {
        "locked": {name: str(amount) for name, amount in watch.ledger.locked(answer).items()},
        "open_seats": seats,
        "strategy_credit": str(credit),
        "orphans": network.orphans(),
    }


def seats_and_credit(chain: CreatorChain) -> tuple[int, int]:
    """Open seats of all mediators, and what the strategy still holds of the ledger, smallest units.

    By account: `poolOf` also counts seats that ended while the tree was frozen, until the next round or anybody applies them.
    """
    pool, mediators = mediated_pool(chain.book).id, [address_of(index) for index in MEDIATOR_ACCOUNTS]
    seats = call_many(chain.rpc, [chain.staking.prepare("stakeOf", pool, account) for account in mediators])
    mediation = chain.core.call("accountOf", chain.default_token, chain.book.address("LilypadMediation"))
    return sum(int(open_seats) for *_, open_seats in seats), int(mediation[0])


def _until(settled: Callable[[], bool], seconds: float) -> float:
    """Waits until it is so, at most `seconds`; returns how long it took, s."""
    began = time.monotonic()
    while not settled() and time.monotonic() - began < seconds:
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def _progress(until: float, tally: Tally, watch: Watch) -> None:
    """Waits, and says each minute how things are."""
    while time.monotonic() < until:
        time.sleep(max(0.0, min(60.0, until - time.monotonic())))
        found = watch.found
        ended = sum(status.is_final for status in found.statuses.values())
        print(
            f"{time.strftime('%H:%M:%S')} posted {tally.total}, opened {len(found.statuses)}, ended {ended}, "
            f"blocks {found.blocks}, violations {found.violated}",
            flush=True,
        )



if __name__ == "__main__":
    sys.exit(main())
