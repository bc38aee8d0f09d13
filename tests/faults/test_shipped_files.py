"""Nothing that is shipped starts a privileged companion: no socket of an engine, no privileged flag, no self-updater."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.chain import PROJECT

# Files that could start processes for a user: units, composes, pods, images, charts, plists, cron tables, installers.
KINDS = (
    "*.service", "*.socket", "*.timer", "*.path", "*compose*.y*ml", "*pod*.y*ml", "Dockerfile*", "Containerfile*", "*.kube",
    "*.container", "Chart.yaml", "*.plist", "*crontab*", "*.desktop", "*install*.sh", "*.tf", "*.nix",
)  # fmt: skip
FORBIDDEN = {
    "engine socket": re.compile(r"(docker|podman|containerd|crio)\.sock|/run/user/\d+/podman|DOCKER_HOST", re.I),
    "privileged": re.compile(r"privileged\s*[:=]\s*[\"']?(true|yes|1)|--privileged|allowPrivilegeEscalation:\s*true|CAP_SYS_ADMIN", re.I),
    "host namespaces": re.compile(r"(hostPID|hostNetwork|hostIPC):\s*true|(pid|network_mode|ipc):\s*[\"']?host|--pid=host", re.I),
    "self-updater": re.compile(r"watchtower|AutoUpdate\s*=|auto[-_]?update|unattended-upgrade|self[-_]?update", re.I),
}
SOURCES = ("lilypad_agents", "bin", "scripts", "tools", "modules")


def shipped(*patterns: str) -> list[Path]:
    """Files of the repository by their names' patterns; tests are not shipped."""
    found = subprocess.run(["git", "ls-files", *patterns], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return [PROJECT / line for line in found.splitlines() if not line.startswith("tests/")]


def faults_of(text: str) -> list[str]:
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


def test_shipped_units__of_any_kind__carry_none_of_it() -> None:
    """flt:S15 Today no such file is shipped; whoever adds one comes through here."""
    wrong = {str(path): faults_of(path.read_text(errors="replace")) for path in shipped(*KINDS)}
    assert not {path: found for path, found in wrong.items() if found}


def test_shipped_programs__name_no_socket_of_an_engine_and_no_privileged_run() -> None:
    """flt:S15 Agents talk to no engine's socket by themselves, ask for no privilege and update nothing."""
    wrong = {}
    for path in shipped(*(f"{folder}/*" for folder in SOURCES), "Makefile"):
        if path.suffix in (".wasm", ".png", ".json", ".ico", ".gz") or not path.is_file():
            continue
        found = faults_of(path.read_text(errors="replace"))
        if found:
            wrong[str(path.relative_to(PROJECT))] = found
    assert not wrong


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("volumes:\n  - /var/run/docker.sock:/var/run/docker.sock", "engine socket"),
        ("    privileged: true", "privileged"),
        ("ExecStart=/usr/bin/docker run --privileged x", "privileged"),
        ("hostPID: true", "host namespaces"),
        ("image: containrrr/watchtower", "self-updater"),
        ("AutoUpdate=registry", "self-updater"),
    ],
)
def test_lint__file_that_carries_it__is_found(text: str, what: str) -> None:
    """flt:S15 The lint can fail."""
    assert what in faults_of(text)
