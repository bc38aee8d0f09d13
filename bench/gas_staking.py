"""Gas of the pools with a thousand stakers, in the in-process EVM with cold state: `measure()` answers a dict of figures.

* `draw3_of_1000`: reading the root and walking the tree for three seats, that is what grows with the pool.
* `draw3_of_1000_transaction`: the whole transaction, with seats written and events emitted.
* `stake_update_of_1000`: a stake on top of one, less a plain deposit of the same tokens into the core.
Wants a fresh `ape compile`.
"""

from __future__ import annotations

from lilypad_agents.protocol.ids import keccak256
from tests.support.evm import Account
from tests.support.staking import EXCLUDE_NOBODY, SEAT, StakingSite, build_staking, name
from tests.support.world import COIN

STAKERS = 1_000
TARGETS = {"draw3_of_1000": 60_000, "stake_update_of_1000": 60_000}


def measure() -> dict[str, int]:
    """Figures in gas, each from one transaction in a fresh EVM that holds the state of a pool of a thousand stakers."""
    site = build_staking(stakers=STAKERS, seats=3)
    return {"draw3_of_1000": _walk(site)} | _stakes(site) | _rounds(site)


def _walk(site: StakingSite) -> int:
    """The dearest of ten draws of three points."""
    harness = site.evm.deploy("SumTreeHarness")
    leaves = list(range(1, STAKERS + 1))
    harness.set(leaves, [3] * STAKERS)
    costs = []
    for number in range(10):
        points = [int.from_bytes(keccak256(bytes([number, seat])), "big") for seat in range(3)]
        site.evm.cool()
        costs.append(harness.simulate("find", points)[1])
    return max(costs)


def _stakes(site: StakingSite) -> dict[str, int]:
    """Staker and core have credit and stake already, and both contracts their allowance."""
    account, world = site.account("staker 500"), site.world
    world.deposit(account, COIN)
    site.fund(account, 10 * SEAT)
    world.token.approve(world.core, 2**256 - 1, sender=account)
    deposit = world.core.deposit(world.token, SEAT, account, sender=account, exact=True).gas_used
    stake = _stake(site, account)
    first = site.account("newcomer")
    site.fund(first, 10 * SEAT)
    return {
        "stake_update_of_1000": stake - deposit,
        "stake_of_1000_transaction": stake,
        "first_stake_of_1000_transaction": _stake(site, first),
        "core_deposit": deposit,
        "unbond_of_1000_transaction": site.staking.requestUnbonding(site.pool, SEAT, sender=account, exact=True).gas_used,
    }


def _stake(site: StakingSite, account: Account) -> int:
    return site.staking.stake(site.pool, SEAT, [], sender=account, exact=True).gas_used


def _rounds(site: StakingSite) -> dict[str, int]:
    queue = site.staking.queueRound(site.pool, name("a"), 3, EXCLUDE_NOBODY, sender=site.strategy, exact=True)
    site.begin(1)
    draw = site.staking.draw(site.pool, 0, name("a"), 3, EXCLUDE_NOBODY, sender=site.strategy, exact=True)
    accounts = list(draw.value.accounts)
    release = site.staking.releaseSeats(site.pool, accounts, [0] * 3, sender=site.strategy, exact=True)
    return {
        "queue_round_transaction": queue.gas_used,
        "draw3_of_1000_transaction": draw.gas_used,
        "release3_of_1000_transaction": release.gas_used,
    }


if __name__ == "__main__":
    for label, gas in measure().items():
        target = TARGETS.get(label)
        print(f"{label:34} {gas:>9,}" + ("" if target is None else f"  target {target:>9,}"))
