"""Ties host calls to wasm imports: masks the arguments, charges the call, turns failures into error numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import wasmtime

from lilypad_agents.execution.errors import ModuleBroken
from lilypad_agents.execution.wasi import files, paths, process
from lilypad_agents.execution.wasi.abi import MODULE, SIGNATURES, Errno
from lilypad_agents.execution.wasi.ends import EndOfRun, HostFault
from lilypad_agents.execution.wasi.host import Host

CALLS: Mapping[str, Callable[..., int | None]] = {**process.CALLS, **files.CALLS, **paths.CALLS}
_MASKS: Mapping[str, int | None] = {"i": 0xFFFFFFFF, "I": 0xFFFFFFFFFFFFFFFF, "S": None}


def bind(linker: wasmtime.Linker, host: Host, wanted: Iterable[tuple[str, str]]) -> None:
    """Defines in `linker` exactly the imports that a module wants, as (module, name) pairs.

    Raises ModuleBroken for an import that is not one of the 46 functions of preview 1.
    """
    for module, name in dict.fromkeys(wanted):
        if module != MODULE or name not in SIGNATURES:
            raise ModuleBroken(
                f"the artefact imports {ascii(module[:60])}.{ascii(name[:60])}, which no engine provides; "
                f"only functions of {MODULE} can be imported"
            )
        linker.define_func(module, name, _type(name), _call(host, name))


def _type(name: str) -> wasmtime.FuncType:
    parameters = [wasmtime.ValType.i32() if letter == "i" else wasmtime.ValType.i64() for letter in SIGNATURES[name]]
    return wasmtime.FuncType(parameters, [] if name == "proc_exit" else [wasmtime.ValType.i32()])


def _call(host: Host, name: str) -> Callable[..., int | None]:
    function, masks = CALLS[name], tuple(_MASKS[letter] for letter in SIGNATURES[name])

    def call(*arguments: int) -> int | None:
        host.begin_call()
        try:
            return function(host, *(a if mask is None else a & mask for a, mask in zip(arguments, masks, strict=True)))
        except Errno as failure:
            return failure.number
        except (EndOfRun, MemoryError):
            raise
        except Exception:
            raise HostFault from None  # no text of the host may reach a result

    return call
