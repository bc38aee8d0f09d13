"""A provider that cheats, caught: the run, the own re-run, the challenge, the draw with its proof, the votes, the money.

    make demo-cheat

A devnet of its own with nine mediators, of which one votes what the cheat tells it and one never comes. Everything is done
by the `lilypad` command, as a user would. Ends 0 only if the cheat lost its bond and the creator was made whole.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "demo-cheat"
LILYPAD = [sys.executable, "-m", "lilypad_agents.cli"]
REJECTED, DIFFERS = 30, 41  # exit codes
TOKEN = 10**18


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    step("1. A network: two honest providers, one that cheats, nine mediators (one lazy, one absent)")
    words = ("--dir", ".", "--modules", str(ROOT / "modules"), "--cheater", "--mediators", "9", "--lazy", "1", "--absent", "1")
    if show("devnet", "up", *words) != 0:
        return 1
    try:
        return demo()
    finally:
        subprocess.run([*LILYPAD, "devnet", "down"], cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def demo() -> int:
    cheat = ask("devnet", "status")["parts"]["cheater"]["account"]
    before = money()
    step("2. A job, run by the cheat; --verify runs it here as well before anything is agreed to")
    code = show("run", "cowsay:v0.0.1", "-i", "Message=moo", "--target", cheat, "--verify")
    if code not in (DIFFERS, REJECTED):
        print(f"The command ended with {code}; the cheat was expected to be found out.")
        return 1
    deal = ask("job", "list")["jobs"][0]["deal"]
    step("3. The two runs differ, so a panel is asked")
    if ask("job", "show", deal)["state"] == "RESULTS_SUBMITTED":
        show("job", "challenge", deal, "--why", "my own run of the job gave another result", "--yes")
    else:
        print("The lottery drew this deal, so an audit has begun by itself.")
    code = show("job", "wait", deal, "--wait", "final")
    step("4. Who was drawn, and the proof that nobody chose them")
    proved = show("mediator", "verify-draw", deal, "--config", ".devnet/mediator1/settings.toml")
    step("5. What they said, and where the money of the dispute went")
    show("job", "show", deal)
    step("6. Money before and after")
    after = money()
    table(before, after)
    return verdict(before, after, code, proved)


def money() -> dict[str, int]:
    """All that each has, in the wallet and in the ledger, and what belongs to nobody in particular; smallest units."""
    found = {}
    balance = ask("balance", "--all")
    for row in balance["accounts"]:
        found[row["name"]] = sum(units(row[part]) for part in ("wallet", "free", "locked"))
    return found | {name: units(amount) for name, amount in balance["waiting"].items() if not name.startswith("held")}


def table(before: dict[str, int], after: dict[str, int]) -> None:
    width = max(map(len, after))
    print(f"{'':<{width}}  {'before':>13}  {'after':>13}  {'change':>11}")
    for name, amount in after.items():
        change = amount - before[name]
        print(f"{name:<{width}}  {amount_text(before[name]):>13}  {amount_text(amount):>13}  {amount_text(change, sign=True):>11}")


def verdict(before: dict[str, int], after: dict[str, int], code: int, proved: int) -> int:
    moved = {name: after[name] - before[name] for name in after}
    problems = []
    if code != REJECTED:
        problems.append(f"the job ended with {code} instead of {REJECTED}")
    if proved != 0:
        problems.append("the draw could not be confirmed")
    if moved["cheater"] >= 0:
        problems.append("the cheat lost nothing")
    if moved["creator"] < 0:
        problems.append("the creator was not made whole")
    print()
    if problems:
        print(f"It went wrong: {'; '.join(problems)}.")
        return 1
    print(f"The cheat lost {amount_text(-moved['cheater'])}, the creator got {amount_text(moved['creator'])} more than it had.")
    return 0


# ---- the command line


def show(*words: str) -> int:
    """Runs a command in front of the user; its exit code."""
    print(f"$ lilypad {' '.join(quoted(word) for word in words)}", flush=True)
    return subprocess.run([*LILYPAD, *words], cwd=FOLDER, env=environment(), check=False).returncode


def ask(*words: str) -> Any:
    """The data of a command's answer."""
    done = subprocess.run([*LILYPAD, *words, "--json"], cwd=FOLDER, env=environment(), capture_output=True, text=True, check=False)
    data = json.loads(done.stdout)["data"] if done.stdout else None
    if data is None:
        raise SystemExit(f"lilypad {' '.join(words)} failed:\n{done.stderr or done.stdout}")
    return data


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LILYPAD_")}


def step(text: str) -> None:
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def units(text: str) -> int:
    """A decimal amount in smallest units."""
    whole, _, part = text.partition(".")
    return int(whole) * TOKEN + int(part.ljust(18, "0") or 0)


def amount_text(amount: int, *, sign: bool = False) -> str:
    """In tokens, to four digits, cut off."""
    whole, part = divmod(abs(amount), TOKEN)
    text = f"{whole}.{part:018d}"[:-14].rstrip("0").rstrip(".")
    return ("-" if amount < 0 else "+" if sign and amount else "") + text


def quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


if __name__ == "__main__":
    sys.exit(main())
