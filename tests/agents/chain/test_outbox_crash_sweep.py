"""kill -9 at every numbered point of the outbox: after a restart each key has exactly one mined transaction."""

from __future__ import annotations

import os
import signal as signals
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.outbox import Mined, Outbox, OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, GWEI, balance, by_hand, fresh_address, mine, nonce


class Run:
    """One agent with its own key, database and recipient; `child` does the work and may be killed in it."""

    def __init__(self, url: str, folder: Path, number: int) -> None:
        self.folder = folder / str(number)
        self.folder.mkdir()
        self.signer: LocalSigner = signer_from_test_mnemonic(100 + number, CHAIN)
        self.to = fresh_address(1_000 + number)
        self.url = url

    def child(self, story: Callable[[Run, Rpc, Outbox], None], crash: CrashPlan) -> int:
        """Wait status of a forked agent that lives the story."""
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        status = 3
        try:
            rpc = Rpc(RpcConfig((self.url,), CHAIN))
            database = Database.open(self.folder / "agent.sqlite")
            limits = OutboxConfig(rebroadcast_after_s=0.2, replace_after_blocks=2, replace_after_s=0.0)
            story(self, rpc, Outbox(database, rpc, self.signer, CHAIN, limits, crash=crash))
            (self.folder / "points").write_text("\n".join(crash.passed))
            status = 0
        finally:
            os._exit(status)

    def once(self, name: str) -> bool:
        """True the first time only, over all lives of the agent."""
        mark = self.folder / name
        if mark.exists():
            return False
        mark.touch()
        return True


def until_mined(rpc: Rpc, outbox: Outbox, keys: list[str], *, mining: bool) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        outbox.pump()
        if all(isinstance(outbox.status(key), Mined) for key in keys):
            return
        if mining:
            mine(rpc)
    raise TimeoutError


def pays_three(run: Run, rpc: Rpc, outbox: Outbox) -> None:
    keys = [f"pay:{number}" for number in range(3)]
    for key in keys:
        outbox.submit(key, run.to, value=1)
        outbox.pump()
    until_mined(rpc, outbox, keys, mining=False)


def pays_while_fees_rise(run: Run, rpc: Rpc, outbox: Outbox) -> None:
    keys = [f"pay:{number}" for number in range(3)]
    for key in keys:
        outbox.submit(key, run.to, value=1)
    outbox.pump()
    # A later life finds lower fees: it would sign other bytes than those that an earlier one had sent and not stored.
    base_fee = 40 * GWEI if run.once("first life") else 20 * GWEI
    for _ in range(2):
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        mine(rpc)
        outbox.pump()
    until_mined(rpc, outbox, keys, mining=True)


def pays_and_is_reorganised(run: Run, rpc: Rpc, outbox: Outbox) -> None:
    keys = [f"pay:{number}" for number in range(3)]
    for key in keys:
        outbox.submit(key, run.to, value=1)
    until_mined(rpc, outbox, keys, mining=True)
    if run.once("reorganised"):
        rpc.request("anvil_reorg", 2, [])
    mine(rpc)
    until_mined(rpc, outbox, keys, mining=True)


def pays_beside_a_hand(run: Run, rpc: Rpc, outbox: Outbox) -> None:
    """The lowest free nonce goes to a foreign transaction of the same key, once."""
    keys = ["pay:0", "pay:1"]
    for key in keys:
        outbox.submit(key, run.to, value=1)
    outbox.pump()
    if run.once("by hand"):
        rpc.request("anvil_dropAllTransactions")
        by_hand(rpc, run.signer, run.to, 1)
        mine(rpc)
    until_mined(rpc, outbox, keys, mining=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("story", "automine"),
    [(pays_three, True), (pays_while_fees_rise, False), (pays_and_is_reorganised, False), (pays_beside_a_hand, False)],
)
def test_outbox__killed_at_every_point__one_mined_transaction_per_key(
    story: Callable[[Run, Rpc, Outbox], None], automine: bool, rpc: Rpc, tmp_path: Path
) -> None:
    """flt:F1 beh:J2 flt:F5 flt:F15 flt:F19 No duplicate, no loss, over every point a surviving run passes."""
    rpc.request("evm_setAutomine", automine)
    mine(rpc, 5)
    url = rpc.config.urls[0]

    def live(number: int, deaths: tuple[int, ...]) -> tuple[Run, int]:
        run = Run(url, tmp_path, number)
        rpc.request("anvil_setBalance", run.signer.address, hex(10**18))
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        mine(rpc, 3)  # so that a reorganisation leaves the account its coin
        killed = 0
        for point in deaths:
            killed += run.child(story, CrashPlan(point)) == signals.SIGKILL
            mine(rpc)  # what was sent is mined while the agent is dead
        assert run.child(story, CrashPlan()) == 0, "the run after the kill did not get to its end"
        assert balance(rpc, run.to) == 3, f"killed at {deaths}"
        assert nonce(rpc, run.signer.address) == 3, f"killed at {deaths}"
        return run, killed

    first, _ = live(0, ())
    points = (first.folder / "points").read_text().splitlines()
    assert len(points) >= 15 and {"outbox.after_sign", "outbox.after_commit", "outbox.after_broadcast"} <= set(points)
    swept = 0
    for point in range(1, len(points) + 1):
        swept += live(point, (point,))[1]
    assert swept >= len(points) - 2  # the number of points may vary a little with when blocks come
    _, killed = live(len(points) + 1, (7, 5, 3))  # and three times in a row
    assert killed >= 2
