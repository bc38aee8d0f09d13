"""Plays scenarios against the real contracts: core, pools and panels in the in-process EVM, and counts everybody's money.

    scenario = Scenario("skip the work", ids, what, attackers, (Part(script, honest_script),), lottery=True)
    estimate(Arena(), scenario, Fraction(1, 5), seeds=400)     # of estimate.py: a fifth of the stake is hostile

A scenario is a script over a `Game`: one deal or several, who votes how, who withholds what. The terms are the worst that
the core accepts: deals at their pool's maximum value, the seat stake at its minimum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.deterrence import SAVING_BPS, preset
from lilypad_agents.protocol.draw import PoolTree, WeightApplied, draw_round
from lilypad_agents.protocol.ids import NOBODY, Bytes32, PoolId, keccak256
from lilypad_agents.protocol.mediation import Finding, Phase, RoundWord, SeatState, Side, side_of
from lilypad_agents.protocol.units import WHOLE
from tests.support.evm import Account
from tests.support.panels import (
    NEVER,
    RIGHT,
    SECRET,
    SERVED,
    UNSERVED,
    WRONG,
    Case,
    Court,
    build_court,
)
from tests.support.world import COIN, PERIOD_BLOCKS

VALUE = COIN  # of each deal: the most its provider can earn, and the pool's maximum
SEAT_FLOOR = VALUE // 8  # a tenth of the seat fee of 125 %: the least that the core accepts
SEAT_STAKE = 8 * COIN  # 6.4 seat fees of 125 % of the value: the least that the core accepts
WORK = VALUE * SAVING_BPS // WHOLE  # what a run costs, the provider's or a seat's: 80 % of the value
MEDIATORS = 50
SEATS_EACH = 4
PEOPLE = ("creator", "provider", "solver", "publisher", "challenger", "keeper", "watcher")
HOSTILE, HONEST, FUND = "hostile seats", "honest seats", "fund"
PARTIES = (*PEOPLE, HOSTILE, HONEST, FUND)
NO_SHARE = Fraction(0)

Play = Callable[["Game"], None]
Money = Mapping[str, int]  # by party


@dataclass(frozen=True)
class Part:
    """One of the things that may happen, with its chance. `instead`: what the same people would have done as honest ones;
    profit is what they have more than by that. None: nothing."""

    play: Play
    instead: Play | None = None
    chance: Fraction = Fraction(1)


@dataclass(frozen=True)
class Scenario:
    """`attackers`: whose money is the profit, besides that of hostile seats. `lottery`: played spared and drawn. `preset`:
    terms of its deals. `by_share`: whether hostile stake matters. `known`: why its profit may be above zero below a quarter."""

    name: str
    ids: str
    what: str
    attackers: frozenset[str]
    parts: tuple[Part, ...]
    lottery: bool = False
    preset: str = "standard"
    by_share: bool = True
    mediators: int = MEDIATORS
    known: str = ""

    @property
    def audit_rate(self) -> Fraction:
        return Fraction(preset(self.preset).audit_bps, WHOLE)


@dataclass
class GymCase(Case):
    """`truth`: what an honest run finds, a vote of panels.py; `ran`: whether the coalition has paid for a run.

    Without the comparisons with the twin at each look, which tests/contracts/mediation makes."""

    truth: str = RIGHT
    ran: bool = False
    benches: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # number and accounts of rounds that were drawn

    def now(self) -> tuple[Phase, int, Finding]:
        word = self.word
        if word is None or not word.has_seats:
            return (word.phase, word.deadline, Finding.NONE) if word else (Phase.NONE, 0, Finding.NONE)
        phase, deadline, finding = self.mediation.phaseOf(self.deal_id, self.seating.argument)
        return Phase(phase), deadline, Finding(finding)

    def _checksummed(self, address: str) -> str:
        return next(account.address for account in self.court.mediators if account.address.lower() == address)


class Arena:
    """One court with fifty mediators of four seats each; every play starts from the same state."""

    def __init__(self, mediators: int = MEDIATORS, seats_each: int = SEATS_EACH) -> None:
        self.court: Court = build_court(0)
        world = self.court.world
        terms = replace(world.pool, seat_fee_floor=SEAT_FLOOR, seat_stake=SEAT_STAKE, max_value=VALUE)
        world.pool = terms
        world.module = replace(world.module, royalty_bps=0)
        world.deposit(world.keeper, 1_000 * VALUE)
        world.core.donate(self.court.mediation, world.token, PoolId(terms.id), 1_000 * VALUE, sender=world.keeper)
        self.watcher = self.court.rich("watcher", 10_000 * COIN)
        self.court.mediators = tuple(world.evm.account(f"mediator {number}") for number in range(mediators))
        for person in self.court.mediators:
            self.court.stake(person, seats_each)
        self.tree = PoolTree()
        for person in self.court.mediators:
            leaf, weight = self.court.staking.weightOf(terms.id, person)
            self.tree.apply(WeightApplied(person.address, leaf, weight))
        self.leaf_of = {account: leaf for leaf, (account, _) in self.tree.leaves.items()}
        self.excluded = tuple(getattr(world, name).address for name in ("creator", "provider", "solver", "publisher"))
        self._tree = PoolTree(dict(self.tree.leaves))
        self._seats: dict[tuple, tuple[str, ...] | None] = {}
        self._nonces = dict(world.nonces)
        self._checkpoint = world.evm.checkpoint()

    def reset(self) -> None:
        """Back to the state that every play starts from."""
        world = self.court.world
        world.evm.rollback(self._checkpoint)
        world.nonces.update(self._nonces)
        world.module = replace(world.module, deterministic=True)
        self._checkpoint = world.evm.checkpoint()

    def seats(self, seed: bytes, round_: bytes, seats: int, seated: tuple[str, ...]) -> tuple[str, ...] | None:
        """Who is drawn, by the twin, when the accounts `seated` hold seats already (one an entry)."""
        key = (seed, round_, seats, seated)
        if key not in self._seats:
            self._tree.drawn = dict(Counter(seated))
            self._seats[key] = draw_round(self._tree, Bytes32(seed), round_, seats, self.excluded).accounts
        return self._seats[key]

    def stake_of(self, account: Account) -> int:
        """What a mediator has at the start of every play."""
        return self.tree.leaves[self.leaf_of[account.address]][1] * SEAT_STAKE

    def hostile(self, share: Fraction) -> frozenset[str]:
        """Addresses of the first mediators, with this share of the stake."""
        count = share * len(self.court.mediators)
        assert count.denominator == 1, f"{share} of {len(self.court.mediators)} mediators"
        return frozenset(person.address for person in self.court.mediators[: int(count)])


@dataclass(frozen=True)
class Asked:
    """One draw of a play: the round's name at the strategy, how many seats, how many of them hostile."""

    round: bytes
    seats: int
    hostile: int


@dataclass
class Game:
    """One play. Scripts call what is here, or the contracts directly by `court` and `world`."""

    arena: Arena
    share: Fraction
    seed: int
    drawn: bool
    preset_name: str = "standard"
    asked: list[Asked] = field(default_factory=list)
    work: dict[str, int] = field(default_factory=dict)
    touched: dict[str, Account] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    funds: list[tuple[Any, PoolId]] = field(default_factory=list)
    own_funds: list[tuple[str, Any, PoolId]] = field(default_factory=list)  # of pools that a party made for itself
    belongings: dict[str, list[Any]] = field(default_factory=dict)  # further accounts of a party
    running: GymCase | None = None  # for what happens inside a dispute
    before_draw: Callable[[Case], None] = lambda case: None  # when the seed is known, and the draw not yet made

    def __post_init__(self) -> None:
        self.hostile = self.arena.hostile(self.share)
        self.court, self.world = self.arena.court, self.arena.court.world
        self.funds.append((self.court.mediation, PoolId(self.world.pool.id)))

    def person(self, name: str) -> Account:
        return self.arena.watcher if name == "watcher" else getattr(self.world, name)

    # ---- deals

    def deal(self, *, honest: bool = True, work: bool = True, **options: Any) -> GymCase:
        """A deal with its result posted. Dishonest: the result is not what honest seats find; `work`: whether it was done."""
        deal, deal_id = self.world.open(**self.terms(**options.pop("job", {})), **options)
        self.deals.append(deal)
        case = GymCase(self.court, deal, deal_id, self.world.submit(deal), truth=RIGHT if honest else WRONG)
        if work:
            self.works("provider")
        return case

    def terms(self, **job: Any) -> dict[str, Any]:
        """Options of `World.pair` for a deal at the pool's maximum value, by the scenario's preset."""
        terms = preset(self.preset_name)
        offered = {"collateral_bps": terms.collateral_bps, "audit_bps": terms.audit_bps, "solver": NOBODY, "solver_fee_bps": 0}
        return {"job": offered | job, "resource": {"price": VALUE, "unit_price": 0, "max_collateral_bps": 400_000}}

    def works(self, party: str, times: int = 1) -> None:
        """Someone pays for a run of the job."""
        self.work[party] = self.work.get(party, 0) + times * WORK

    def lottery(self, case: GymCase) -> bool:
        """The seed that decides on the deal becomes known: drawn it is audited, spared it is settled in silence."""
        self.world.set_seed(case.deal, drawn=self.drawn)
        if self.drawn:
            case.beginner = self.world.keeper
            self.world.resolver.audit(case.deal.words, 0, sender=self.world.keeper)
        else:
            self.settle(case)
        return self.drawn

    def spared(self, case: GymCase) -> GymCase:
        """The lottery has spared the deal, whatever branch is played."""
        self.world.set_seed(case.deal, drawn=False)
        return case

    def settle(self, case: GymCase) -> None:
        self.world.pass_to(self.world.state(case.deal).deadline + 1)
        self.world.settle(case.deal, case.result)

    def challenge(self, case: GymCase, by: str = "challenger") -> GymCase:
        case.beginner = self.person(by)
        self.world.resolver.challenge(case.deal.words, sender=case.beginner)
        return case

    # ---- disputes

    def judge(self, case: GymCase, plan: Plan) -> None:
        """The whole dispute: rounds, appeals, execution by the keeper."""
        steps = {
            Phase.NONE: case.queue, Phase.DUE: case.queue, Phase.QUEUED: lambda: self.draw(case),
            Phase.COMMIT: lambda: self._commit(case, plan), Phase.OPEN: lambda: self._open(case, plan),
            Phase.REVEAL: lambda: self._reveal(case, plan), Phase.APPEALABLE: lambda: self._appeal(case, plan),
            Phase.EXECUTED: case.queue,  # a dispute about delivery was before this one
        }  # fmt: skip
        while (phase := case.phase) != Phase.EXECUTABLE:
            steps[phase]()
        seatings = [seating.argument for seating in case.seatings]
        self.court.mediation.execute(case.deal.words, self.court.pool, seatings, case.result, sender=self.world.keeper)
        case.seatings.clear()

    def next_seed(self) -> bytes:
        """Goes to the next period and makes its seed known: one for each draw of a play."""
        evm = self.world.evm
        period = evm.number // PERIOD_BLOCKS + 1
        evm.mine(period * PERIOD_BLOCKS - evm.number)
        seed = seed_of(self.seed, len(self.asked))
        self.world.randomness.setSeed(period, seed)
        return seed

    def draw(self, case: GymCase) -> None:
        self.next_seed()
        self.before_draw(case)
        for event in case.draw().events("RoundDrawn"):
            self.asked.append(Asked(event["round"], len(event["seats"]), self.count_hostile(event["seats"])))
            for address in event["seats"]:
                self.touched[address] = self.court.account_of(address)
        if case.phase != Phase.QUEUED:
            case.benches.append((case.word.number, case.seating.accounts))

    def count_hostile(self, accounts: Any) -> int:
        return sum(account in self.hostile for account in accounts)

    def _votes(self, case: GymCase, plan: Plan) -> list[str]:
        """One vote a seat of the running round."""
        word = case.word
        flags = [account in self.hostile for account in case.seating.accounts]
        found = SERVED if word.is_delivery else case.truth
        benches = [Bench(word.number, len(flags), sum(flags), found, seat, word.lone_unavailable) for seat in range(len(flags))]
        return [plan.hostile(bench) if bad else plan.honest(bench) for bench, bad in zip(benches, flags, strict=True)]

    def _commit(self, case: GymCase, plan: Plan) -> None:
        word = case.word
        votes = self._votes(case, plan)
        for seat, vote in enumerate(votes):
            if word.seats[seat] == SeatState.SILENT and vote != NEVER:
                case.commit(seat, vote)
        self._pay_for_runs(case, plan, votes, word)
        if NEVER in votes:
            case.pass_deadline()

    def _pay_for_runs(self, case: GymCase, plan: Plan, votes: list[str], word: RoundWord) -> None:
        """An honest seat that found a digest ran the job; a coalition runs it once a dispute, if one of it needs the truth."""
        for seat, vote in enumerate(votes):
            if word.seats[seat] != SeatState.SILENT or vote not in (case.truth, UNSERVED):
                continue
            if case.seating.accounts[seat] not in self.hostile:
                self.works(HONEST)
            elif not plan.knows and not case.ran:
                self.works(HOSTILE)
                case.ran = True

    def _open(self, case: GymCase, plan: Plan) -> None:
        if not plan.opens:
            case.pass_deadline()
        elif case.word.is_delivery:
            case.name_data()
        else:
            case.open()

    def _reveal(self, case: GymCase, plan: Plan) -> None:
        word = case.word
        for seat, vote in enumerate(self._votes(case, plan)):
            if word.seats[seat] == SeatState.COMMITTED and vote != SECRET:
                case.reveal(seat, vote)
        if case.phase == Phase.REVEAL:
            case.pass_deadline()

    def _appeal(self, case: GymCase, plan: Plan) -> None:
        word = case.word
        finding = case.now()[2]
        who = plan.appellant(Bench(word.number, len(word.seats), 0, case.truth), finding) if word.number & 3 < 3 else None
        if who is None:
            case.pass_deadline()
            return
        if who != "watcher":
            self._allow(who)
        case.appeal(self.person(who))

    def _allow(self, who: str) -> None:
        """A party takes the fees of an appeal out of its ledger credit."""
        account, fee = self.person(who), 15 * 2 * VALUE
        self.world.core.withdraw(self.world.token, fee, account, sender=account)
        self.world.token.approve(self.court.mediation, fee, sender=account)

    # ---- money

    def wealth(self) -> dict[str, int]:
        """Ledger, stakes and wallet of everybody who can have moved, and the pools' funds; work not deducted."""
        found = {
            name: sum(self._of(account) for account in (self.person(name), *self.belongings.get(name, ()))) for name in PEOPLE
        }
        for name, hostile in ((HOSTILE, True), (HONEST, False)):
            found[name] = sum(
                self._of(account) for address, account in self.touched.items() if (address in self.hostile) == hostile
            )
        core, token = self.world.core, self.world.token
        found[FUND] = sum(core.fundOf(strategy, token, pool) for strategy, pool in self.funds)
        for name, strategy, pool in self.own_funds:
            found[name] += core.fundOf(strategy, token, pool)
        accruals = {(deal.module, deal.solver, deal.strategy, deal.pool) for deal in self.deals}
        found[FUND] += sum(core.accruedOf(token, *key)[2] for key in accruals)
        return found

    def _of(self, account: Any) -> int:
        free, locked = self.world.core.accountOf(self.world.token, account)[:2]
        staked, unbonding = self.court.staking.stakeOf(self.world.pool.id, account)[:2]
        return free + locked + staked + unbonding + self.world.token.balanceOf(account)


# ---- what the people of a dispute do


@dataclass(frozen=True)
class Bench:
    """A round as its seats see it: hostile seats know of each other."""

    number: int
    size: int
    hostile: int
    truth: str
    seat: int = 0
    again: bool = False  # it replaces a lone seat that said Unavailable

    @property
    def is_captured(self) -> bool:
        return 2 * self.hostile > self.size


Vote = Callable[[Bench], str]
Appellant = Callable[[Bench, Finding], str | None]  # who pays for the next size, by the name of PEOPLE


def truth(bench: Bench) -> str:
    """What a seat finds that obtains everything and runs it."""
    return bench.truth


def captures(aim: str, otherwise: Vote = truth) -> Vote:
    """Hostile seats vote `aim` where they are the majority, and like honest ones where it would cost them their stake."""
    return lambda bench: aim if bench.is_captured else otherwise(bench)


def rational(bench: Bench, finding: Finding) -> str | None:
    """Who has more to lose than an appeal costs pays for it: an honest provider its collateral, the honest seat that found a
    cheat its stake (the watcher pays for it). Nobody knows that a lone seat confirmed a cheat."""
    if bench.truth == RIGHT:
        return "provider" if side_of(finding) == Side.AGAINST else None
    return "watcher" if side_of(finding) == Side.PROVIDER and bench.number != 0 else None


def nobody(_bench: Bench, _finding: Finding) -> None:
    """Nobody appeals, whatever was found."""


@dataclass(frozen=True)
class Plan:
    """`knows`: hostile seats know the right digest without running the job."""

    hostile: Vote = truth
    honest: Vote = truth
    opens: bool = True
    appellant: Appellant = rational
    knows: bool = False


def seed_of(seed: int, number: int) -> bytes:
    """The seed of the `number`th draw of a play."""
    return keccak256(b"gym" + seed.to_bytes(8, "big") + number.to_bytes(4, "big"))
