"""The fuel schedule: who defines what a unit of fuel is. Published, part of receipts, shared by provider and mediators.

Fuel of machine code is counted by wasmtime and differs between its versions; host calls are charged by us, in the
figures below. A change of the version, of a figure or of what is charged needs a new name.
"""

from __future__ import annotations

WASMTIME_VERSION = "50.0.1"
ENGINE_ID = f"wasmtime-{WASMTIME_VERSION}"
WASI_SCHEDULE = "lilypad-wasi-1"
FUEL_SCHEDULE = f"{ENGINE_ID}/{WASI_SCHEDULE}"

CALL_FUEL = 20_000  # each host call; 14 us of Python against 6-38e9 fuel per second of machine code
BYTE_FUEL = 1  # each byte moved, made, zeroed or searched
ENTRY_FUEL = 64  # each directory entry or tree node that a call has to look at
