"""A chain of our own on this machine: one process, started and stopped by its native binary."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId
from lilypad_agents.errors import LilypadError

_READY_POLL_S = 0.02


class ChainConfig(Protocol):
    """What is needed of a program's options. `keeps`: the folder of its state, made before it starts; None for none."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def chain_id(self) -> ChainId: ...
    @property
    def keeps(self) -> Path | None: ...

    def arguments(self, port: int) -> list[str]:
        """The command line after the program."""
        ...


class DevelopmentChain:
    """A running chain; use as a context manager, or `start` and `stop`. `url` is its RPC endpoint."""

    def __init__(self, binary: Path, config: ChainConfig, log_file: Path | None = None) -> None:
        self.binary = binary
        self.config = config
        self.log_file = log_file
        self.port = self.config.port or free_port(self.config.host)
        self.url = f"http://{self.config.host}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Raises DevelopmentChainFailed when it was not started."""
        if self.process is None:
            raise DevelopmentChainFailed("The chain is not running.")
        return self.process.pid

    def start(self, *, detach: bool = False, timeout_s: float = 15.0) -> Self:
        """Starts it and returns when it answers with its chain id.

        `detach` gives it a session of its own, so that it outlives this process and its terminal. Raises
        DevelopmentChainFailed when it exits, when another program holds the port, or after `timeout_s`.
        """
        _refuse_taken(self.config.host, self.port)
        if self.config.keeps is not None:
            self.config.keeps.mkdir(parents=True, exist_ok=True)
        output = open(self.log_file, "ab") if self.log_file else subprocess.DEVNULL
        try:
            self.process = subprocess.Popen(
                [str(self.binary), *self.config.arguments(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=detach,
            )
        except OSError as error:
            raise DevelopmentChainFailed(
                f"The chain program {self.binary} does not start: {error.strerror}."
            ) from error
        finally:
            if not isinstance(output, int):
                output.close()
        self._wait_ready(timeout_s)
        return self

    def _wait_ready(self, timeout_s: float) -> None:
        rpc = Rpc(RpcConfig((self.url,), self.config.chain_id))
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                if self.process is not None and self.process.poll() is not None:
                    raise DevelopmentChainFailed(f"The chain ended at once with status {self.process.returncode}.")
                try:
                    rpc.request("eth_chainId", timeout_s=_READY_POLL_S * 5)
                    return
                except LilypadError:
                    time.sleep(_READY_POLL_S)
        finally:
            rpc.close()
        self.stop()
        raise DevelopmentChainFailed(f"The chain does not answer after {timeout_s:.0f} s.")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Asks it to end (it writes its state file), and kills it after `timeout_s`."""
        process, self.process = self.process, None
        if process is None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """Ends it without a chance to write its state."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((host, port)) == 0:
            raise DevelopmentChainFailed(f"Another program already listens on {host}:{port}.", port=port)
