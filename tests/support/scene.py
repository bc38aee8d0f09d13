"""One deal on the chain beside its model: takes any step as anybody, and knows what has to come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol.consent import Closing, Result, Scope
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.ids import NOBODY, ZERO, PoolId
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import (
    NO_OPENING,
    Pair,
    ResultOpening,
    Settling,
    SignedResult,
    closing_of,
    opening_of,
    settlements_of,
    waived_at_once,
)
from lilypad_agents.protocol.price import locked_total, premium_of
from tests.support.deal_model import VERDICTS, Caller, DealModel, Seed, after, refusal
from tests.support.evm import Contract, Receipt, Reverted, decode_error
from tests.support.world import COIN, PERIOD_BLOCKS, World, build_world

FOREVER = 2**40 - 1
DELEGATES = {f"{side}'s {scope.name.lower()} key": (side, scope) for side in ("creator", "provider") for scope in Scope}
ACTORS = ("creator", "provider", "solver", "publisher", "stranger", "strategy", *DELEGATES)


@dataclass
class Stage:
    """A world whose strategy is a puppet, in which everybody has credit and both sides have a delegate for each scope."""

    world: World
    actors: dict[str, Any]  # accounts by name; the strategy is a contract

    def caller(self, actor: str) -> Caller:
        if actor == "creator":
            return Caller(creator=Scope(7))
        if actor == "provider":
            return Caller(provider=Scope(7))
        side, scope = DELEGATES.get(actor, ("", Scope(0)))
        return Caller(
            creator=scope if side == "creator" else Scope(0),
            provider=scope if side == "provider" else Scope(0),
            is_strategy=actor == "strategy",
        )


def build_stage(world: World | None = None) -> Stage:
    world = world or build_world()
    evm = world.evm
    puppet = evm.deploy("Puppet")
    world.strategy = puppet
    world.pool = replace(world.pool, strategy=puppet.address)
    world.core.donate(puppet, world.token, PoolId(world.pool.id), 0, sender=world.keeper)
    world.deposit(world.keeper, 1_000 * COIN)
    world.core.donate(puppet, world.token, PoolId(world.pool.id), 1_000 * COIN, sender=world.keeper)
    actors: dict[str, Any] = {
        "creator": world.creator,
        "provider": world.provider,
        "solver": world.solver,
        "publisher": world.publisher,
        "stranger": world.keeper,
        "strategy": puppet,
    }
    for name, (side, scope) in DELEGATES.items():
        actors[name] = evm.account(name)
        caps = [(world.token, 10_000 * COIN)]
        world.core.grantDelegate(actors[name], scope, FOREVER, caps, sender=actors[side])
    for name, actor in actors.items():
        if name not in ("creator", "provider"):
            world.deposit(world.keeper, 1_000 * COIN)
            world.core.transferCredit(world.token, [actor], [1_000 * COIN], sender=world.keeper)
    return Stage(world, actors)


@dataclass
class Scene:
    """A deal, the opening of its result, and its model."""

    stage: Stage
    pair: Pair
    deal: Deal
    result: ResultOpening
    model: DealModel
    trail: list[str] = field(default_factory=list)
    _data: dict[tuple[str, Status], tuple[Contract, bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, stage: Stage, **options: Any) -> Scene:
        """A pair of offers that is not open yet. `options`: those of `World.pair`."""
        world = stage.world
        job = dict(options.pop("job", {})) | {"expiry": FOREVER}
        resource = dict(options.pop("resource", {})) | {"expiry": FOREVER}
        pair = world.pair(job, resource, **options)
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        return cls(stage, pair, deal, world.result(deal, units=3), DealModel(deal, world.parameters))

    @property
    def world(self) -> World:
        return self.stage.world

    @property
    def id(self) -> bytes:
        return self.deal.id(self.world.domain)

    @property
    def now(self) -> int:
        return self.world.evm.timestamp

    @property
    def commitment(self) -> int:
        return self.world.commitment(self.deal, self.result)

    @property
    def period(self) -> int:
        return self.world.evm.number // PERIOD_BLOCKS

    @property
    def state(self) -> DealState:
        return self.world.state(self.deal)

    # ---- steps

    def expected(self, call: str, actor: str, model: DealModel | None = None) -> str | None:
        return refusal(model or self.model, call, self.stage.caller(actor), self.now)

    def expected_after(self, call: str, model: DealModel | None = None) -> DealModel:
        result = self.result._replace(salt=ZERO) if call == "submitAndSettle" else self.result
        commitment = self.world.commitment(self.deal, result)
        return after(model or self.model, call, self.now, commitment=commitment, period=self.period)

    def send(self, call: str, actor: str) -> Receipt:
        """Makes the call; an item that a batch left out counts as a revert."""
        contract, data = self._calldata(call)
        sender = self.stage.actors[actor]
        if isinstance(sender, Contract):
            receipt = sender.execute(contract, data)
        else:
            receipt = self.world.evm.transact(contract, data, sender=sender)
        for skipped in receipt.events("Skipped"):
            raise decode_error(skipped["reason"])
        return receipt

    def _calldata(self, call: str) -> tuple[Contract, bytes]:
        key = (call, self.model.status)
        if key not in self._data:
            contract, method, arguments = STEPS[call](self)
            self._data[key] = contract, contract.calldata(method, *arguments)
        return self._data[key]

    def attempt(self, call: str, actor: str) -> str | None:
        """The name of the error that the call ends with; None: it succeeds."""
        try:
            self.send(call, actor)
        except Reverted as reverted:
            return reverted.name or str(reverted)
        return None

    def do(self, call: str, actor: str = "stranger") -> Scene:
        """Takes a legal step and checks that the chain is where the model says."""
        assert self.expected(call, actor) is None, f"{call} by {actor} is illegal after {self.trail}"
        self.send(call, actor)
        self.model = self.expected_after(call)
        self.trail.append(call)
        assert self.state == self.model.state
        return self

    def seed(self, seed: Seed) -> Scene:
        """Lets the lottery's answer be known, or lost."""
        if seed == Seed.LOST:
            self.world.lose_seed(self.deal)
        elif seed != Seed.PENDING:
            self.world.set_seed(self.deal, drawn=seed == Seed.DRAWN)
        self.model = replace(self.model, seed=seed)
        return self

    def at(self, timestamp: int) -> Scene:
        self.world.pass_to(timestamp)
        return self


# ---- calls: (contract, method, arguments), all signatures right


def _settlement(scene: Scene, agreement: Agreement) -> tuple[Contract, str, list[Any]]:
    world = scene.world
    signers = {Agreement.ACCEPTANCE: world.acceptance, Agreement.WAIVER: world.waiver}
    signature = signers[agreement](scene.deal, scene.result) if agreement in signers else b""
    (settlement,) = settlements_of([Settling(scene.deal, scene.result, agreement, signature)])
    return world.core, "settle", [settlement]


def _signed_result(scene: Scene) -> tuple[Contract, str, list[Any]]:
    signature = scene.world.sign(Result(scene.id, scene.commitment), scene.world.provider)
    return scene.world.core, "submitSignedResults", [[SignedResult(scene.id, scene.commitment, signature)]]


def _submit_and_settle(scene: Scene) -> tuple[Contract, str, list[Any]]:
    waiver = scene.world.waiver(scene.deal, scene.result)
    return scene.world.core, "submitAndSettle", list(waived_at_once(scene.deal, scene.result, waiver))


def _closing(scene: Scene) -> tuple[Contract, str, list[Any]]:
    world, deal = scene.world, scene.deal
    rest = locked_total(deal, world.parameters.protocol_fee_bps) + deal.collateral
    if scene.model.status == Status.RESULTS_SUBMITTED:
        rest -= premium_of(deal)
    terms = Closing(scene.id, rest // 3, rest - rest // 3, FOREVER)
    argument = closing_of(terms, world.sign(terms, world.creator), world.sign(terms, world.provider))
    return world.resolver, "close", [deal.words, argument]


def _verdict(call: str) -> Callable[[Scene], tuple[Contract, str, list[Any]]]:
    def step(scene: Scene) -> tuple[Contract, str, list[Any]]:
        opening = scene.result if call == "resolve Correct" else NO_OPENING
        return scene.world.resolver, "resolve", [scene.deal.words, VERDICTS[call], opening, 0, NOBODY]

    return step


def _by_record(name: str, *more: Any) -> Callable[[Scene], tuple[Contract, str, list[Any]]]:
    return lambda scene: (scene.world.resolver, name, [scene.deal.words, *more])


STEPS: dict[str, Callable[[Scene], tuple[Contract, str, list[Any]]]] = {
    "open": lambda scene: (scene.world.core, "open", [opening_of([scene.pair])]),
    "submitResult": lambda scene: (scene.world.core, "submitResult", [scene.id, scene.commitment]),
    "submitSigned": _signed_result,
    "submitAndSettle": _submit_and_settle,
    "decline": lambda scene: (scene.world.resolver, "decline", [scene.deal.words, scene.pair.job.words()]),
    "settle": lambda scene: _settlement(scene, Agreement.NONE),
    "settle accepted": lambda scene: _settlement(scene, Agreement.ACCEPTANCE),
    "settle waived": lambda scene: _settlement(scene, Agreement.WAIVER),
    "audit": _by_record("audit", 0),
    "close": _closing,
} | {name: _by_record(name) for name in (
    "timeoutSubmit", "challenge", "challengeDelivery", "timeoutReveal", "timeoutMediation", "repayAdvance"
)} | {name: _verdict(name) for name in VERDICTS}  # fmt: skip


# ---- every state a deal can be in, each reached by legal steps


def _agreed(stage: Stage, **options: Any) -> Scene:
    return Scene.of(stage, **options).do("open")


def _submitted(stage: Stage, seed: Seed = Seed.PENDING, **options: Any) -> Scene:
    return _agreed(stage, **options).do("submitResult", "provider").seed(seed)


def _redelivered(stage: Stage, seed: Seed) -> Scene:
    scene = _submitted(stage, seed).do("challengeDelivery", "creator")
    return scene.at(scene.now + 7).do("resolve Delivered", "strategy")


def _disputed(stage: Stage, call: str, seed: Seed) -> Scene:
    return _submitted(stage, seed).do(call, "creator")


def _after_deadline(scene: Scene, clock: int = 0) -> Scene:
    return scene.at(scene.model.moments[clock] + 1)


STAGES: dict[str, Callable[[Stage], Scene]] = {
    "none": lambda stage: Scene.of(stage),
    "agreed": _agreed,
    "agreed, unverified": lambda stage: _agreed(stage, **stage.world.unverified()),
    "submitted, unverified": lambda stage: _submitted(stage, Seed.PENDING, **stage.world.unverified()),
    **{f"submitted, {seed.name.lower()}": lambda stage, seed=seed: _submitted(stage, seed) for seed in Seed},
    **{f"delivered, {seed.name.lower()}": lambda stage, seed=seed: _redelivered(stage, seed) for seed in Seed},
    "challenged": lambda stage: _disputed(stage, "challenge", Seed.PENDING),
    "challenged after the draw": lambda stage: _disputed(stage, "challenge", Seed.DRAWN),
    "challenged after the seed was lost": lambda stage: _disputed(stage, "challenge", Seed.LOST),
    "delivery challenged": lambda stage: _disputed(stage, "challengeDelivery", Seed.PENDING),
    "delivery challenged after the draw": lambda stage: _disputed(stage, "challengeDelivery", Seed.DRAWN),
    "audited": lambda stage: _disputed(stage, "audit", Seed.DRAWN),
    "audited at the provider's cost": lambda stage: _disputed(stage, "audit", Seed.LOST),
    "challenged after a delivery": lambda stage: _redelivered(stage, Seed.PENDING).do("challenge"),
    "accepted": lambda stage: _submitted(stage, Seed.SPARED).do("settle accepted"),
    "accepted by silence": lambda stage: _after_deadline(_submitted(stage, Seed.SPARED)).do("settle"),
    "accepted by waiver": lambda stage: _submitted(stage).do("settle waived"),
    "accepted at once": lambda stage: _agreed(stage).do("submitAndSettle", "provider"),
    "accepted, unverified": lambda stage: _submitted(stage, **stage.world.unverified()).do("settle", "creator"),
    "found correct": lambda stage: _disputed(stage, "audit", Seed.DRAWN).do("resolve Correct", "strategy"),
    "found wrong": lambda stage: _disputed(stage, "challenge", Seed.PENDING).do("resolve Wrong", "strategy"),
    "found nobody's fault": lambda stage: _disputed(stage, "audit", Seed.LOST).do("resolve NoFault", "strategy"),
    "mediation timed out": lambda stage: _after_deadline(_disputed(stage, "audit", Seed.DRAWN)).do("timeoutMediation"),
    "never audited": lambda stage: _after_deadline(_submitted(stage, Seed.DRAWN), 2).do("timeoutMediation"),
    "no result": lambda stage: _after_deadline(_agreed(stage), 1).do("timeoutSubmit"),
    "never opened": lambda stage: _after_deadline(_submitted(stage, Seed.SPARED), 1).do("timeoutReveal"),
    "never delivered": lambda stage: _disputed(stage, "challengeDelivery", Seed.PENDING).do(
        "resolve NotDelivered", "strategy"
    ),
    "declined": lambda stage: _agreed(stage).do("decline", "provider"),
    "closed": lambda stage: _agreed(stage).do("close"),
    "closed with a result": lambda stage: _submitted(stage).do("close"),
}
