"""Gas of the paths that every job takes, from receipts of a real chain; writes bench/results/gas.json.

Parties recur (their words are not zero), the pool is verified, royalty, solver fee, protocol fee and premium are above
zero, settlement comes after the judge deadline. Calldata and code size stand beside. Run: make bench-gas
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import gas_jobs, gas_mediation, gas_modules, gas_staking
from bench.gas_world import ROOT, World, world
from lilypad_agents.chain.deployment_plan import CONTRACTS
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.opening import Pair, opening_of, openings_of, settlements_of, waived_at_once

TARGETS = {
    "three_tx": 175_000,
    "open_submit_two_tx": 145_000,
    "waiver_two_tx": 150_000,
    "all_in_one_tx": 85_000,
    "batch100_per_job": 65_000,
    "batch100_distinct_per_job": 120_000,
}
BATCH = 100
RECURRING_PAIRS = 5


class Figures:
    """Runs each path once on a warm world and keeps gas and calldata of every call."""

    def __init__(self, place: World) -> None:
        self.world = place
        self.nonce = 0
        self.calls: dict[str, dict[str, int]] = {}

    def _next(self) -> Pair:
        self.nonce += 1
        return self.world.pair(self.world.creator, self.world.provider, self.nonce)

    def _call(self, label: str, sender: str, function: str, *arguments: object) -> tuple[int, int]:
        spent = self.world.call("Lilypad", sender, function, *arguments)
        self.calls[label] = {"gas": spent.gas, "calldata_bytes": spent.calldata_bytes}
        return spent.gas, spent.block

    def _until_spared(self, path: Callable[[], tuple[int, Deal, int]]) -> int:
        """Repeats a path until the lottery spares its deal, then settles; the drawn ones are left to the auditors."""
        while True:
            gas, deal, block = path()
            self.world.pass_judge_deadline()
            if self.world.spared([deal], block):
                settled, _ = self._call("settle", self.world.solver, "settle", settlements_of([self.world.settling(deal)])[0])
                return gas + settled

    def three_tx(self) -> int:
        def path() -> tuple[int, Deal, int]:
            pair = self._next()
            deal = self.world.deal(pair)
            opened, _ = self._call("open", self.world.solver, "open", opening_of([pair]))
            submitted, block = self._call(
                "submitResult", deal.provider, "submitResult", deal.id(self.world.domain), self.world.commitment(deal)
            )
            return opened + submitted, deal, block

        return self._until_spared(path)

    def open_submit_two_tx(self) -> int:
        def path() -> tuple[int, Deal, int]:
            pair = self._next()
            deal = self.world.deal(pair)
            gas, block = self._call(
                "openAndSubmit", deal.provider, "openAndSubmit", opening_of([_own_call(pair)]), [self.world.commitment(deal)]
            )
            return gas, deal, block

        return self._until_spared(path)

    def waiver_two_tx(self) -> int:
        pair = self._next()
        deal = self.world.deal(pair)
        waiver = self.world.waiver(self.world.creator, deal)
        opened, _ = self._call("open", self.world.solver, "open", opening_of([pair]))
        settled, _ = self._call(
            "submitAndSettle", deal.provider, "submitAndSettle", *waived_at_once(deal, self.world.opening(deal), waiver)
        )
        return opened + settled

    def all_in_one_tx(self) -> int:
        pair = self._next()
        deal = self.world.deal(pair)
        opening, waiver = self.world.opening(deal), self.world.waiver(self.world.creator, deal)
        gas, _ = self._call(
            "openSubmitAndSettle", deal.provider, "openSubmitAndSettle", opening_of([_own_call(pair)]), opening.head,
            opening.content, waiver,
        )  # fmt: skip
        return gas

    def batch(self, pairs: list[Pair], label: str, *, carried: bool) -> int:
        """Gas a job of a batch: opening, results, settlement of those that were spared."""
        deals = [self.world.deal(pair) for pair in pairs]
        opened = 0
        for start in range(0, len(pairs), 50):  # two transactions: anvil's block gas limit holds fifty openings with ease
            spent, _ = self._call(f"openBatch {label}", self.world.solver, "openBatch", openings_of(pairs[start : start + 50]))
            opened += spent
        if carried:
            signers = {signer.address: signer for signer in self.world.signers}
            signed = [self.world.signed_result(signers[deal.provider], deal) for deal in deals]
            submitted, block = self._call(f"submitSignedResults {label}", self.world.solver, "submitSignedResults", signed)
            blocks = dict.fromkeys((deal.id(self.world.domain) for deal in deals), block)
        else:
            submitted, blocks = self._submit_by_provider(deals, label)
        self.world.pass_judge_deadline()
        spared = [deal for deal in deals if self.world.spared([deal], blocks[deal.id(self.world.domain)])]
        settlements = settlements_of([self.world.settling(deal) for deal in spared])
        settled, _ = self._call(f"settleBatch {label}", self.world.solver, "settleBatch", settlements)
        return round((opened + submitted) / len(deals) + settled / len(spared))

    def _submit_by_provider(self, deals: list[Deal], label: str) -> tuple[int, dict[bytes, int]]:
        total, blocks = 0, {}
        for provider in {deal.provider: None for deal in deals}:
            mine = [deal for deal in deals if deal.provider == provider]
            ids = [deal.id(self.world.domain) for deal in mine]
            gas, block = self._call(
                f"submitResults {label}", provider, "submitResults", ids, [self.world.commitment(deal) for deal in mine]
            )
            total += gas
            blocks.update(dict.fromkeys(ids, block))
        return total, blocks


def measure(hardfork: str) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    anvil, place = world(hardfork)
    try:
        figures = Figures(place)
        for path in (figures.three_tx, figures.waiver_two_tx):  # makes the parties' words non-zero
            path()
        rows = {
            "three_tx": figures.three_tx(),
            "open_submit_two_tx": figures.open_submit_two_tx(),
            "waiver_two_tx": figures.waiver_two_tx(),
            "all_in_one_tx": figures.all_in_one_tx(),
        }
        creators, providers = place.signers[5:10], place.signers[10:15]
        pairs = [
            place.pair(creators[index % RECURRING_PAIRS], providers[index % RECURRING_PAIRS], 1 + index // RECURRING_PAIRS)
            for index in range(BATCH + RECURRING_PAIRS)
        ]
        figures.batch(pairs[:RECURRING_PAIRS], "warm-up", carried=False)
        rows["batch100_per_job"] = figures.batch(pairs[RECURRING_PAIRS:], "of recurring pairs", carried=False)
        rows["batch100_distinct_per_job"] = figures.batch(_distinct(place), "of distinct pairs", carried=True)
        return rows, {label: call for label, call in figures.calls.items() if "warm-up" not in label}
    finally:
        anvil.stop()


def _own_call(pair: Pair) -> Pair:
    """The provider opens by itself: its call is its signature."""
    return pair._replace(resource_signature=b"")


def _distinct(place: World) -> list[Pair]:
    """A hundred pairs of which no two have the same creator and provider, each its own group."""
    creators, providers = place.signers[5:15], place.signers[5:16]
    return [
        place.pair(creator, providers[(index + shift + 1) % len(providers)], 1_000 + shift)
        for shift in range(10)
        for index, creator in enumerate(creators)
    ]


def measure_parts() -> tuple[dict[str, int], dict[str, Any]]:
    """Figures of the other contracts: modules on a chain, the rest in an EVM of this process; and calls of disputes."""
    anvil, place = world("cancun")
    try:
        figures = gas_modules.measure(place)
    finally:
        anvil.stop()
    disputes, calls = gas_mediation.measure()
    return figures | gas_staking.measure() | disputes | gas_jobs.measure(), calls


def main() -> None:
    cancun, calls = measure("cancun")
    prague, _ = measure("prague")
    parts, dispute_calls = measure_parts()
    cancun |= parts
    targets = TARGETS | gas_modules.TARGETS | gas_staking.TARGETS | gas_mediation.TARGETS | gas_jobs.TARGETS
    sizes = {
        name: json.loads((ROOT / "lilypad_agents/chain/abi" / f"{name}.json").read_text())["runtimeBytes"]
        for name in CONTRACTS
    }
    report = {
        "about": "gas by receipts of anvil --hardfork cancun, prague beside it; draws, disputes and jobs of contracts in an EVM in this process; make bench-gas repeats it",
        **cancun,
        "prague": prague,
        "targets": targets,
        "calls": calls,
        "dispute_calls": dispute_calls,
        "code_size_bytes": sizes,
    }
    Path(ROOT / "bench/results").mkdir(exist_ok=True)
    (ROOT / "bench/results/gas.json").write_text(json.dumps(report, indent=2) + "\n")
    for name, target in targets.items():
        print(f"{name:28} {cancun[name]:>9,}  target {target:>9,}  {'ok' if cancun[name] <= target else 'OVER'}")


if __name__ == "__main__":
    main()
