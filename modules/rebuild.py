"""Rebuilds the wasm of the example modules from source and compares it byte for byte with what is committed.

    python modules/rebuild.py            compare, exit 1 on a difference
    python modules/rebuild.py --write    replace the committed files

The compiler is zig's C compiler from the PyPI package `ziglang`, pinned in the `test` extra. The first build fills a
cache (about a minute), later ones take a fraction of a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# One set of flags for everything, so that the C library is built once.
FLAGS = ("-target", "wasm32-wasi", "-O2", "-s", "-Wall", "-Wextra", "-Werror")
SOURCES = {
    "modules/cowsay/cowsay.wasm": "modules/cowsay/cowsay.c",
    "modules/wordcount/wordcount.wasm": "modules/wordcount/wordcount.c",
    "modules/primes/primes.wasm": "modules/primes/primes.c",
    "tests/unit/execution/fixtures/probe.wasm": "tests/unit/execution/fixtures/probe.c",
}


def build(source: Path, cache: Path) -> bytes:
    """The wasm that `source` compiles to; raises CalledProcessError with the compiler's messages."""
    with tempfile.TemporaryDirectory() as folder:
        # Compiled under a fixed name in a folder of its own: nothing of this machine's paths can get in.
        (Path(folder) / "module.c").write_bytes(source.read_bytes())
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache / "local")}
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "module.c", "-o", "module.wasm"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        return (Path(folder) / "module.wasm").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the committed files")
    write = parser.parse_args().write
    cache = ROOT / ".cache" / "zig"
    cache.mkdir(parents=True, exist_ok=True)
    different = 0
    for target, source in SOURCES.items():
        built = build(ROOT / source, cache)
        path = ROOT / target
        same = path.exists() and path.read_bytes() == built
        if not same and write:
            path.write_bytes(built)
        print(f"{target}: {len(built)} bytes, {'equal' if same else 'written' if write else 'DIFFERENT'}")
        different += not same
    return 1 if different and not write else 0


if __name__ == "__main__":
    sys.exit(main())
