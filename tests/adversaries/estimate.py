"""Expected money of a scenario: many seeds, few plays.

How chance is treated. The lottery is not sampled: a scenario with `lottery` is played once spared and, over many seeds,
drawn, and weighted by the audit rate. Seats are drawn from the seeds by the contract's rule. Accounts are alike, so money
depends on how many seats of each round are hostile, not on which: each such pattern is played on the contracts once, and
further seeds whose draws (by the twin, `protocol/draw.py`) give the same pattern reuse its money.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

from tests.adversaries.arena import HONEST, HOSTILE, PARTIES, Arena, Asked, Game, Money, Play, Scenario, seed_of


@dataclass(frozen=True)
class Estimate:
    """Means over seeds, smallest units, rounded. `profit` less what honest work would have paid; `error`: its standard error;
    `patterns`: how many different plays there were; `balances`: what each party has more or less, work paid."""

    profit: int
    error: int
    seeds: int
    patterns: int
    balances: Mapping[str, int]


def run(arena: Arena, script: Play, share: Fraction, seed: int, preset_name: str, drawn: bool) -> tuple[Money, list[Asked]]:
    """What each party has more or less after one play, work deducted, and the draws that there were.

    Raises AssertionError when a unit was made or lost.
    """
    arena.reset()
    game = Game(arena, share, seed, drawn, preset_name)
    first = game.wealth()
    script(game)
    last = game.wealth()
    for address, account in game.touched.items():
        first[HOSTILE if address in game.hostile else HONEST] += arena.stake_of(account)
    change = {name: last[name] - first[name] for name in PARTIES}
    assert sum(change.values()) == 0, f"money was made or lost: {change}"
    return {name: amount - game.work.get(name, 0) for name, amount in change.items()}, game.asked


class Memory:
    """Plays by the pattern of their draws: a tree whose edges are numbers of hostile seats."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self.spared: Money | None = None

    def recall(self, arena: Arena, hostile: frozenset[str], seed: int) -> Money | None:
        """The money of a play with the pattern that this seed draws; None when it was not played yet."""
        node: dict[str, Any] | None = self.root
        seated: tuple[str, ...] = ()
        number = 0
        while node is not None and "money" not in node:
            accounts = arena.seats(seed_of(seed, number), node["round"], node["seats"], seated) if "round" in node else None
            if accounts is None:
                return None
            node = node["next"].get(sum(account in hostile for account in accounts))
            seated += accounts
            number += 1
        return None if node is None else node["money"]

    def keep(self, asked: list[Asked], money: Money) -> Money:
        node = self.root
        for draw in asked:
            node.update(round=draw.round, seats=draw.seats)
            node = node.setdefault("next", {}).setdefault(draw.hostile, {})
        node["money"] = money
        return money

    def __len__(self) -> int:
        return sum(1 for _ in _leaves(self.root))


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "money" in node:
        yield node
    for child in node.get("next", {}).values():
        yield from _leaves(child)


def estimate(arena: Arena, scenario: Scenario, share: Fraction, seeds: int, memory: dict[Any, Memory] | None = None) -> Estimate:
    """Expected money of one play. `memory` may be shared by all shares of one scenario in one arena."""
    memory = {} if memory is None else memory
    group = scenario.attackers | {HOSTILE}
    profits, means = [Fraction(0)] * seeds, dict.fromkeys(PARTIES, Fraction(0))
    for number, part in enumerate(scenario.parts):
        for script, sign in ((part.play, 1), (part.instead, -1)):
            if script is None:
                continue
            known = memory.setdefault((number, sign), Memory())
            moneys = _moneys(arena, scenario, script, share, seeds, known)
            profit_of = {id(money): sign * part.chance * sum(money[name] for name in group) for money in moneys}
            for seed, money in enumerate(moneys):
                profits[seed] += profit_of[id(money)]
            if sign == 1:
                for money, times in Counter(map(id, moneys)).items():
                    of = next(one for one in moneys if id(one) == money)
                    for name in PARTIES:
                        means[name] += part.chance * of[name] * times / seeds
    mean = sum(profits) / seeds
    variance = float(sum((one - mean) ** 2 for one in profits)) / max(seeds - 1, 1)
    patterns = sum(len(memory[key]) for key in memory)
    balances = {name: round(amount) for name, amount in means.items()}
    return Estimate(round(mean), round(sqrt(variance / seeds)), seeds, patterns, balances)


def _moneys(
    arena: Arena, scenario: Scenario, script: Play, share: Fraction, seeds: int, memory: Memory
) -> list[dict[str, Fraction]]:
    """The money of each seed, drawn and spared in their proportions."""
    rate, spared = Fraction(1), dict.fromkeys(PARTIES, 0)
    if scenario.lottery:
        rate = scenario.audit_rate
        if rate < 1 and memory.spared is None:
            memory.spared, _ = run(arena, script, share, 0, scenario.preset, drawn=False)
        spared = memory.spared or spared
    hostile = arena.hostile(share)
    found, weighted = [], {}
    for seed in range(seeds):
        money = memory.recall(arena, hostile, seed)
        if money is None:
            played, asked = run(arena, script, share, seed, scenario.preset, drawn=True)
            money = memory.keep(asked, played)
        if id(money) not in weighted:
            weighted[id(money)] = {name: rate * money[name] + (1 - rate) * spared[name] for name in PARTIES}
        found.append(weighted[id(money)])
    return found
