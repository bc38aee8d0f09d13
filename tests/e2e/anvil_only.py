"""End-to-end tests that only anvil can carry, each with the reason. `make test-geth` runs all others and reports these."""

from __future__ import annotations

from collections.abc import Mapping

ANVIL_ONLY: Mapping[str, str] = {
    "test_soak__a_short_one__finds_nothing": "moves the chain's clock for deals that wait for their deadline (evm_increaseTime)",
}
