"""The same deployment on geth, which has no factory and refuses its presigned transaction unless told otherwise. beh:L3

Skipped where there is no `geth` on PATH: `go install github.com/ethereum/go-ethereum/cmd/geth@v1.16.7` (two minutes).
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lilypad_agents.chain.anvil import free_port
from lilypad_agents.chain.deployer import FACTORY, Deployment, RpcSender, wait_for_receipt
from lilypad_agents.chain.deployment_check import check_deployment, require_match
from lilypad_agents.chain.deployment_plan import PRESETS
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.errors import LilypadError
from tests.support.chain import CHAIN, Events

GETH = shutil.which("geth")
pytestmark = pytest.mark.skipif(GETH is None, reason="geth is not installed: deployment on geth was NOT tested")


@pytest.fixture
def start_geth(tmp_path: Path) -> Iterator[Callable[..., RpcSender]]:
    """Starts a chain with 1 s blocks; the sender's account is funded by the node's own."""
    running: list[tuple[subprocess.Popen[bytes], Rpc]] = []

    def start(*options: str) -> RpcSender:
        port = free_port()
        command = [str(GETH), "--dev", "--dev.period", "1", "--datadir", str(tmp_path / "geth"), "--ipcdisable"]
        command += ["--http", "--http.port", str(port), "--http.api", "eth,net,web3", "--port", "0"]
        command += ["--authrpc.port", str(free_port()), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rpc = Rpc(RpcConfig((f"http://127.0.0.1:{port}",), CHAIN))
        running.append((process, rpc))
        account = wait_for_accounts(rpc)
        sender = RpcSender(rpc, signer_from_test_mnemonic(0, CHAIN), CHAIN)
        call = {"from": account, "to": sender.address, "value": hex(10**20)}
        wait_for_receipt(rpc, bytes.fromhex(rpc.request("eth_sendTransaction", call)[2:]))
        return sender

    yield start
    for process, rpc in running:
        rpc.close()
        process.terminate()
        process.wait(20)


def wait_for_accounts(rpc: Rpc) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            return str(rpc.request("eth_accounts", timeout_s=1)[0])
        except LilypadError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize(("options", "canonical"), [((), False), (("--rpc.allow-unprotected-txs",), True)])
def test_deploy__on_geth__completes_and_is_found_again(
    start_geth: Callable[..., RpcSender], book_path: Path, options: tuple[str, ...], canonical: bool
) -> None:
    sender, events = start_geth(*options), Events()
    book = Deployment(sender.rpc, sender, PRESETS["devnet"], book_path, notify=events).run()
    assert book["factory"]["canonical"] is canonical
    assert (book["factory"]["address"] == FACTORY) is canonical
    assert len(events.named("own_factory_used")) == (not canonical)
    require_match(check_deployment(sender.rpc, book))
    book_path.unlink()
    assert Deployment(sender.rpc, sender, PRESETS["devnet"], book_path).run() == book
