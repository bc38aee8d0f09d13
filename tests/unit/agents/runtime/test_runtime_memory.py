"""What agents ask of the C library, in a process of its own: the setting lasts for a process's life."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import re, sys, threading
from lilypad_agents.agents.runtime import memory
if sys.argv[1] == "few":
    memory.use_few_arenas()
held, done = [], threading.Event()
def work():
    held.append(bytearray(100_000))  # too small for a mapping of its own, too large for Python's own pools
    done.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
while len(held) < 12:
    pass
text = open("/proc/self/maps").read()
arenas = sum(int(start, 16) % (1 << 26) == 0 for start in re.findall(r"^([0-9a-f]+)-\\S+ rw-p 00000000 00:00 0 *$", text, re.M))
done.set()
memory.give_back()
print(arenas)
"""


def _arenas(word: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_threads__of_an_agent__share_few_arenas() -> None:
    """beh:L18"""
    few, many = _arenas("few"), _arenas("as it is")
    assert few <= 1 < many  # the main arena is the heap and lies elsewhere


def test_give_back__any_library__is_harmless() -> None:
    """beh:L18"""
    subprocess.run([sys.executable, "-c", "from lilypad_agents.agents.runtime import memory as m; m.use_few_arenas(); m.give_back()"], check=True)
