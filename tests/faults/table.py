"""The list of all faults; importing this fills the table of scenarios."""

from __future__ import annotations

from tests.faults import chain_faults, host_faults, party_faults, rpc_faults
from tests.faults.run import FAULTS

MODULES = (rpc_faults, chain_faults, host_faults, party_faults)
IDS = tuple(f"F{number}" for number in range(1, 41))
UNKNOWN = [id_ for id_ in FAULTS if id_ not in IDS]
