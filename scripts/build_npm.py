"""Makes the npm package `lilypad-contracts` for contracts that ask for jobs, from the sources of this repository.

    python scripts/build_npm.py [--out packages/lilypad-contracts/dist]

What it holds: the Solidity files that a consumer imports and everything that they import, under the same paths; ABIs as
JSON; address books of public deployments. Same sources, same bytes. The folder is made anew.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts"
HOME = ROOT / "packages" / "lilypad-contracts"
ABIS = ROOT / "lilypad_agents" / "chain" / "abi"
ENTRIES = ("jobs/LilypadClient.sol", "jobs/InputsDocument.sol", "jobs/OutputProof.sol", "jobs/CidText.sol", "mocks/MockLilypad.sol")
CONSUMER_ABIS = ("Lilypad", "LilypadResolver", "LilypadModules", "LilypadJobs", "LilypadToken", "LilypadBundler", "LilypadUsers")
_IMPORT = re.compile(r'^import [^;]*?"(\.[^"]+)";', re.MULTILINE)


def closure(entries: Iterable[str]) -> list[str]:
    """Paths below `contracts/` of the entries and of all that they import from there, sorted."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for relative in _IMPORT.findall((SOURCES / path).read_text(encoding="utf-8")):
            waiting.append(_join(path, relative))
    return sorted(found)


def _join(path: str, relative: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / relative).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def package_json() -> str:
    """Version from pyproject.toml, library version from the repository's own package.json."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["dependencies"]
    document = {
        "name": "lilypad-contracts",
        "version": project["version"],
        "description": "Base contract, interfaces and mock market for contracts that ask for jobs on Lilypad",
        "license": project["license"],
        "files": ["**/*.sol", "abi/*.json", "deployments/*.json"],
        "peerDependencies": {"@openzeppelin/contracts": libraries["@openzeppelin/contracts"]},
    }
    return json.dumps(document, indent=2) + "\n"


def contents() -> dict[str, str]:
    """Path in the package to text."""
    interfaces = [f"interfaces/{path.name}" for path in SOURCES.joinpath("interfaces").glob("*.sol")]
    files = {path: (SOURCES / path).read_text(encoding="utf-8") for path in closure([*ENTRIES, *interfaces])}
    for name in CONSUMER_ABIS:
        abi = json.loads((ABIS / f"{name}.json").read_text(encoding="utf-8"))["abi"]
        files[f"abi/{name}.json"] = json.dumps(abi, indent=1) + "\n"
    for book in ROOT.joinpath("deployments").glob("*.json"):
        if book.stem not in ("1337", "31337"):  # chains that live on one machine
            files[f"deployments/{book.name}"] = book.read_text(encoding="utf-8")
    return files | {"package.json": package_json(), "README.md": (HOME / "README.md").read_text(encoding="utf-8")}


def build(out: Path) -> None:
    """Writes the package into `out`, which is made anew."""
    shutil.rmtree(out, ignore_errors=True)
    for path, text in contents().items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HOME / "dist", help="folder to make")
    arguments = parser.parse_args()
    build(arguments.out)
    print(f"{arguments.out}: {len(contents())} files")


if __name__ == "__main__":
    main()
