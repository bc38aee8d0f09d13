"""One run of a certification in a process of its own: `python -m ... SPEC RESULT EMPTY PLAN`.

SPEC is a packed job, RESULT where its packed result goes, EMPTY an empty folder for the sandbox, PLAN JSON of
`{"optLevel", "cpus", "circumstances"}`. The environment of the process is whatever the caller made it. The run itself
happens behind the same sandbox as a provider's.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lilypad_agents.execution import sandbox
from lilypad_agents.execution.errors import ModuleBroken
from lilypad_agents.execution.forkserver import bounds_for
from lilypad_agents.execution.framing import pack, pack_result, unpack_spec
from lilypad_agents.execution.wasi.host import Circumstances
from lilypad_agents.execution.wasm import WasmEngine


def main(arguments: list[str]) -> int:
    sandbox.leave_network()
    raw = Path(arguments[0]).read_bytes()
    plan = json.loads(arguments[3])
    if plan["cpus"]:
        os.sched_setaffinity(0, plan["cpus"])
    target = os.open(arguments[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    spec = unpack_spec(raw)
    engine = WasmEngine(opt_level=plan["optLevel"])
    try:
        module = engine.compile(spec.wasm)
        sandbox.enter(bounds_for(spec.limits, len(raw)), arguments[2], os.getppid())
        packed = pack_result(
            engine.run_compiled(module, spec, timer=False, circumstances=Circumstances(**plan["circumstances"]))
        )
    except ModuleBroken as broken:
        packed = pack({"failure": "module-broken", "message": broken.message}, {})
    view = memoryview(packed)
    while view:
        view = view[os.write(target, view) :]
    os._exit(0)  # the sandbox allows nothing of what an interpreter does at its end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
