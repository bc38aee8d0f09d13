"""Copies interface and creation code of the deployable contracts from Ape's build into the Python package.

    ape compile --force && python scripts/export_abi.py [--check]

Writes `lilypad_agents/chain/abi/<Name>.json`; `--check` writes nothing and exits 1 when a copy differs from the build.
Same build, same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "__local__.json"
TARGET = ROOT / "lilypad_agents" / "chain" / "abi"


def render(contract: dict[str, Any]) -> str:
    """The text of one artefact: `{contract, codeHash, runtimeBytes, abi, bytecode}`, the ABI in the compiler's order.

    `codeHash`: keccak-256 of the creation code without constructor arguments.
    """
    from eth_utils import keccak

    bytecode = contract["deploymentBytecode"]["bytecode"]
    runtime = contract["runtimeBytecode"]["bytecode"]
    document = {
        "contract": contract["contractName"],
        "codeHash": "0x" + keccak(hexstr=bytecode).hex(),
        "runtimeBytes": len(runtime) // 2 - 1,
        "abi": contract["abi"],
        "bytecode": bytecode,
    }
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def artefacts(build: Path = BUILD) -> dict[str, str]:
    """File name to text for each deployable contract in the build."""
    from lilypad_agents.chain.deployment_plan import CONTRACTS

    types = json.loads(build.read_text(encoding="utf-8"))["contractTypes"]
    return {f"{name}.json": render(types[name]) for name in CONTRACTS}


def differences(wanted: dict[str, str], folder: Path = TARGET) -> list[str]:
    """Names of files that are missing, differ, or do not belong."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when a copy differs")
    arguments = parser.parse_args()
    wanted = artefacts()
    changed = differences(wanted)
    if arguments.check:
        for name in changed:
            print(f"{name} differs from the build", file=sys.stderr)
        return 1 if changed else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (TARGET / name).write_text(wanted[name], encoding="utf-8")
        else:
            (TARGET / name).unlink()
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
