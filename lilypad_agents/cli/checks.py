"""The checks of `lilypad doctor`: each looks at one thing, says what it found, and names the fix when it fails."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from lilypad_agents.errors import LilypadError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.session import Session

_CLOCK_OFF_S = 60
_BLOCK_OLD_S = 600
_LEAST_DISK = 256 * 2**20
_GAS_FOR_CLAIMS = 500_000  # a handful of own transactions: deposit, cancel, a claimed timeout


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, but look at it
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of the doctor. `fix`: what to do, empty when all is well."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


Look = Callable[["Session"], Check]


def run_checks(session: Session, *, sandbox: bool) -> Iterator[Check]:
    """All checks in the order in which they depend on each other; later ones are left out where an earlier one failed."""
    failed: set[str] = set()
    for name, needs, look in _CHECKS:
        if needs & failed:
            failed.add(name)
            continue
        check = _guarded(name, look, session)
        if check.verdict is Verdict.FAIL:
            failed.add(name)
        yield check
    yield _engine()
    yield _gpu()
    if sandbox:
        yield from _sandbox()


def _guarded(name: str, look: Look, session: Session) -> Check:
    try:
        return look(session)
    except LilypadError as error:
        return Check(name, Verdict.FAIL, error.message, error.way_out)


def _chain(session: Session) -> Check:
    block = session.rpc.request("eth_getBlockByNumber", "latest", False)
    age = int(time.time()) - int(block["timestamp"], 16)
    detail = f"chain {session.rpc.chain_id()}, block {int(block['number'], 16)}, {age} s old"
    if age > _BLOCK_OLD_S:
        return Check("chain", Verdict.WARN, detail, "The chain makes no blocks, or the endpoint lags: try another endpoint.")
    return Check("chain", Verdict.OK, detail)


def _contracts(session: Session) -> Check:
    session.book.verify(session.rpc)
    return Check("contracts", Verdict.OK, f"{len(session.book.contracts)} contracts have the code of {session.book.source}")


def _clock(session: Session) -> Check:
    off = int(time.time()) - session.chain.now()
    if abs(off) > _CLOCK_OFF_S:
        fix = "Set the clock (deadlines follow block time, so no money depends on it, but signed requests do)."
        return Check("clock", Verdict.WARN, f"this machine is {off:+d} s off the latest block", fix)
    return Check("clock", Verdict.OK, f"{off:+d} s off the latest block")


def _key(session: Session) -> Check:
    return Check("key", Verdict.OK, session.account)


def _coin(session: Session) -> Check:
    coin = session.chain.ledger(session.account).coin
    price = int(session.rpc.request("eth_gasPrice"), 16)
    if coin < _GAS_FOR_CLAIMS * price:
        fix = f"Send coin for gas to {session.account}. Running jobs needs none; deposits, cancels and claims do."
        return Check("coin", Verdict.WARN, f"{coin / 1e18:.6f} of the chain's coin, too little for a few transactions", fix)
    return Check("coin", Verdict.OK, f"{coin / 1e18:.4f} of the chain's coin")


def _funds(session: Session) -> Check:
    ledger, token = session.chain.ledger(session.account), session.token
    detail = f"ledger {token.show(ledger.free)} free, {token.show(ledger.locked)} locked; wallet {token.show(ledger.wallet)}"
    if ledger.free == 0:
        return Check("funds", Verdict.WARN, detail, "`lilypad deposit AMOUNT` moves tokens from your wallet into the ledger.")
    return Check("funds", Verdict.OK, detail)


def _solver(session: Session) -> Check:
    info = session.solver_info
    detail = f"{session.solver.base_url}, account {info.address}, fee {info.fee_bps / 100:g} %"
    if not info.ready:
        return Check("solver", Verdict.WARN, f"{detail}, not ready", "Wait a moment, or name another solver with --solver.")
    return Check("solver", Verdict.OK, detail)


def _offers(session: Session) -> Check:
    from lilypad_agents.agents.creator.market import open_offers

    count = len(open_offers(session))
    if count == 0:
        return Check("offers", Verdict.WARN, "nobody offers anything now", "Wait for providers, or start one: `lilypad provider start`.")
    return Check("offers", Verdict.OK, f"{count} open resource offers")


def _lists(session: Session) -> Check:
    lists = session.lists
    if not lists:
        return Check("lists", Verdict.WARN, "no curated list is trusted", "Short names need one; set `lists` under [creator].")
    return Check("lists", Verdict.OK, ", ".join(f"{trusted.name} ({len(trusted.modules)} modules)" for trusted in lists))


def _journal(session: Session) -> Check:
    return Check("journal", Verdict.OK, f"{len(session.journal.unfinished())} unfinished jobs in {session.folder}")


def _disk(session: Session) -> Check:
    folder = _existing(session.settings.data)
    free = shutil.disk_usage(folder).free
    detail = f"{free // 2**20} MiB free for {session.settings.data}"
    if free < _LEAST_DISK + session.settings.reserve_bytes:
        return Check("disk", Verdict.FAIL, detail, "Free some space, or set `data` to another disk.")
    return Check("disk", Verdict.OK, detail)


_CHECKS: tuple[tuple[str, frozenset[str], Look], ...] = (
    ("chain", frozenset(), _chain),
    ("contracts", frozenset({"chain"}), _contracts),
    ("clock", frozenset({"chain", "contracts"}), _clock),
    ("key", frozenset(), _key),
    ("coin", frozenset({"chain", "contracts", "key"}), _coin),
    ("funds", frozenset({"chain", "contracts", "key"}), _funds),
    ("solver", frozenset({"chain", "contracts", "key"}), _solver),
    ("offers", frozenset({"solver"}), _offers),
    ("lists", frozenset(), _lists),
    ("journal", frozenset({"key"}), _journal),
    ("disk", frozenset(), _disk),
)


def _engine() -> Check:
    from lilypad_agents.execution.schedule import ENGINE_ID, WASMTIME_VERSION

    try:
        from importlib.metadata import version

        found = version("wasmtime")
    except ImportError:
        found = "none"
    if found != WASMTIME_VERSION:
        fix = "Install what this release pins: `pip install -e .`; another engine counts other units."
        return Check("engine", Verdict.FAIL, f"wasmtime {found}, this release needs {WASMTIME_VERSION}", fix)
    return Check("engine", Verdict.OK, ENGINE_ID)


def _gpu() -> Check:
    from lilypad_agents.execution.hardware import nvidia_gpus

    gpus = nvidia_gpus()
    detail = ", ".join(f"{gpu.name} {gpu.vram_mib} MiB" for gpu in gpus)
    return Check("gpu", Verdict.OK, detail or "none found (none is needed for wasm modules)")


def _sandbox() -> Iterator[Check]:
    from lilypad_agents.execution.selftest import run_selftest

    for check in run_selftest():
        verdict = Verdict.OK if check.passed else Verdict.FAIL
        yield Check(f"sandbox {check.id}", verdict, f"{check.title}: {check.detail}", "" if check.passed else check.fix)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
