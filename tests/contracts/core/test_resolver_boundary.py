"""Between core and resolver: nobody else gets in, and even a resolver gone bad makes no money and no illegal step.

beh:A1 beh:A2 beh:A9 beh:B8 beh:B18 inv:I1 inv:I4 inv:I19 inv:I20 inv:I22 inv:T13 inv:T14 inv:T30
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from pyrevm import AccountInfo

from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.ids import PoolId
from lilypad_agents.protocol.lifecycle import LEGAL, Agreement, Status, Verdict
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import locked_total
from tests.support.evm import Contract, Reverted, _build, expect_revert
from tests.support.world import JUDGE_WINDOW_LIMIT, World, build_world


def number(account: Any) -> int:
    return int(getattr(account, "address", account), 16)


def outcome(
    world: World, deal: Any, *, start: int, to: int, changes: list[Any] = [], **more: int  # noqa: B006
) -> tuple[Any, ...]:
    """An Outcome in the deal's token and pool."""
    amounts = {"from_fund": 0, "to_fund": 0, "royalty": 0, "solver_fee": 0} | more
    return (
        deal.id(world.domain), start, to, number(deal.token), changes, number(deal.strategy), PoolId(deal.pool),
        amounts["from_fund"], amounts["to_fund"], deal.module, number(deal.solver), amounts["royalty"], amounts["solver_fee"],
    )  # fmt: skip


# ---- from outside


@pytest.mark.parametrize("caller", ["creator", "provider", "solver", "publisher", "challenger", "keeper", "strategy"])
def test_calls_of_the_resolver__from_anybody_else__are_refused(world: World, caller: str) -> None:
    """inv:I20 inv:T30"""
    deal, deal_id = world.open()
    word = world.core.dealWord(deal_id)
    account = getattr(world, caller)
    calls = {
        "conclude": (outcome(world, deal, start=word, to=int(Status.DECLINED)),),
        "releaseNonce": (world.creator, 1),
        "payFromFund": (world.strategy, world.token, PoolId(world.pool.id), account, 1),
    }
    for name, arguments in calls.items():
        if caller == "strategy":
            puppet = world.evm.deploy("Puppet")
            with expect_revert("ResolverOnly", caller=puppet):
                puppet.execute(world.core, world.core.calldata(name, *arguments))
            continue
        with expect_revert("ResolverOnly", caller=account):
            world.core.method(name)(*arguments, sender=account)
    assert world.core.dealWord(deal_id) == word


def test_resolver__is_made_by_its_core_and_knows_it(world: World) -> None:
    """inv:T14: nothing to wire, nothing to capture."""
    assert world.resolver.core() == world.core.address
    assert world.core.resolver() == world.resolver.address
    assert tuple(world.resolver.parameters()) == tuple(getattr(world.parameters, f.name) for f in fields(Parameters))


def test_resolver__that_somebody_deploys__has_no_core(world: World) -> None:
    """inv:T14: its core is whoever created it, here an account without code."""
    deal, _ = world.open()
    own = world.evm.deploy("LilypadResolver", world.parameters, sender=world.keeper)
    assert own.core() == world.keeper.address
    world.pass_to(world.evm.timestamp + 61)
    with pytest.raises(Reverted):
        own.timeoutSubmit(deal.words)


# ---- a resolver gone bad


@pytest.fixture
def bad() -> tuple[World, Contract]:
    """A world of its own, in which a puppet took the resolver's place."""
    world = build_world()
    puppet = world.evm.deploy("Puppet")
    return world, puppet


def take_over(world: World, puppet: Contract) -> Contract:
    """Puts the puppet's code where the resolver's was; no such thing can happen on a chain."""
    world.evm.cool()
    code = world.evm.code(puppet)
    known = world.evm._known_state[world.resolver.address]
    known.code = code
    world.evm._evm.insert_account_info(world.resolver.address, AccountInfo(nonce=1, code=code))
    return world.evm.at("Puppet", world.resolver)


def conclude(world: World, resolver: Contract, *arguments: Any) -> Any:
    return resolver.execute(world.core, world.core.calldata("conclude", outcome(world, *arguments[:1], **arguments[1])))


def test_bad_resolver__giving_more_or_less_than_it_takes__is_refused(bad: tuple[World, Contract]) -> None:
    """beh:A2 inv:I1"""
    world, puppet = bad
    deal, deal_id = world.open()
    resolver = take_over(world, puppet)
    word = world.core.dealWord(deal_id)
    total, creator = locked_total(deal, 100), number(world.creator)
    declined = int(Status.DECLINED)
    for received, flows in (
        (total + 1, {}), (total - 1, {}), (0, {}), (total, {"to_fund": 1}), (total, {"royalty": 1}),
        (total, {"solver_fee": 1}), (total, {"from_fund": 1}), (2**95, {}),
    ):  # fmt: skip
        given = received + sum(amount for name, amount in flows.items() if name != "from_fund")
        taken = total + flows.get("from_fund", 0)
        with expect_revert("OutcomeUnbalanced", dealId=deal_id, taken=taken, given=given):
            conclude(world, resolver, deal, {
                "start": word, "to": declined, "changes": [(creator, 0, total, received)], **flows
            })  # fmt: skip
    for overflowing in (2**96, 2**256 - 1, 2**256 - total):
        with pytest.raises(Reverted) as reverted:
            conclude(world, resolver, deal, {
                "start": word, "to": declined, "changes": [(creator, 0, total, overflowing)]
            })  # fmt: skip
        assert reverted.value.name in ("AmountOverflows", "Panic")
    assert world.core.dealWord(deal_id) == word and world.locked(world.creator) == total
    conclude(world, resolver, deal, {"start": word, "to": declined, "changes": [(creator, 0, total, total)]})
    assert world.free(world.creator) == 1_000_000 * 10**18


def test_bad_resolver__taking_what_is_not_there__is_refused(bad: tuple[World, Contract]) -> None:
    """inv:I7 inv:I33"""
    world, puppet = bad
    deal, deal_id = world.open()
    resolver = take_over(world, puppet)
    word, to = world.core.dealWord(deal_id), int(Status.DECLINED)
    creator, keeper, stranger = number(world.creator), number(world.keeper), number(world.challenger)
    total, fund = locked_total(deal, 100), world.fund()
    cases = [
        ("AmountUnderflows", {"changes": [(creator, 0, total + 1, 0), (keeper, 0, 0, total + 1)]}),
        ("AmountUnderflows", {"changes": [(stranger, 0, 1, 1)]}),
        ("CreditInsufficient", {"changes": [(keeper, 1, 0, 1)]}),
        ("Panic", {"changes": [(keeper, 0, 0, fund + 1)], "from_fund": fund + 1}),
    ]
    for error, changes in cases:
        with expect_revert(error):
            conclude(world, resolver, deal, {"start": word, "to": to, **changes})
    with expect_revert("Panic"):
        resolver.execute(
            world.core,
            world.core.calldata("payFromFund", world.strategy, world.token, PoolId(world.pool.id), world.keeper, fund + 1),
        )


def test_bad_resolver__along_an_edge_that_is_not_in_the_table__is_refused(bad: tuple[World, Contract]) -> None:
    """inv:I4: every pair of states, with a deal that really is in the first."""
    world, puppet = bad
    words = _words_in_each_state(world)
    resolver = take_over(world, puppet)
    for status, (deal, word) in words.items():
        for to in range(16):
            moved = word & ~15 | to
            legal = to in [int(each) for each in LEGAL[status]]
            with world.evm.snapshot():
                try:
                    conclude(world, resolver, deal, {"start": word, "to": moved})
                    assert legal, f"{status.name} to {to}"
                except Reverted as reverted:
                    assert not legal, f"{status.name} to {to}: {reverted}"
                    assert reverted.name in ("TransitionIllegal", "Panic")  # a panic where no status has the number


def _words_in_each_state(world: World) -> dict[Status, tuple[Any, int]]:
    """Deals that were brought there by legal steps, and unknown ones."""
    deals: dict[Status, Any] = {}
    pairs = {status: world.pair() for status in Status}
    for status, pair in pairs.items():
        if status == Status.NONE:
            continue
        deals[status], _ = world.open(pair)
    submit = {status: world.submit(deal) for status, deal in deals.items()
              if status not in (Status.AGREED, Status.DECLINED, Status.TIMED_OUT, Status.CLOSED_BY_AGREEMENT)}  # fmt: skip
    resolver, by = world.resolver, world.challenger
    for status in (Status.IN_MEDIATION, Status.MEDIATION_ACCEPTED, Status.MEDIATION_REJECTED, Status.NO_FAULT):
        resolver.challenge(deals[status].words, sender=by)
    world.resolve(deals[Status.MEDIATION_ACCEPTED], Verdict.CORRECT, submit[Status.MEDIATION_ACCEPTED])
    world.resolve(deals[Status.MEDIATION_REJECTED], Verdict.WRONG)
    world.resolve(deals[Status.NO_FAULT], Verdict.NO_FAULT)
    world.settle(deals[Status.ACCEPTED], submit[Status.ACCEPTED], Agreement.WAIVER)
    resolver.decline(deals[Status.DECLINED].words, pairs[Status.DECLINED].job.words(), sender=world.provider)
    closing = deals[Status.CLOSED_BY_AGREEMENT]
    world.close(closing, locked_total(closing, 100) + closing.collateral, 0)
    world.pass_to(world.evm.timestamp + 61)
    resolver.timeoutSubmit(deals[Status.TIMED_OUT].words)
    unknown = world.pair()
    deals[Status.NONE] = deal_from_offers(unknown.job, unknown.resource, unknown.module, unknown.pool)
    found = {status: (deal, world.core.dealWord(deal.id(world.domain))) for status, deal in deals.items()}
    for status, (deal, _) in found.items():
        assert world.state(deal).status == status
    return found


def test_bad_resolver__that_read_another_word__is_refused(bad: tuple[World, Contract]) -> None:
    """inv:I26: a decision counts only for the state it was taken in."""
    world, puppet = bad
    deal, deal_id = world.open()
    resolver = take_over(world, puppet)
    word = world.core.dealWord(deal_id)
    for expected in (0, word + 256, word ^ 1 << 255, word & ~15 | 2):
        with expect_revert("DealMoved", dealId=deal_id, found=word, expected=expected):
            conclude(world, resolver, deal, {"start": expected, "to": int(Status.DECLINED)})


# ---- construction


BOUNDS: dict[str, tuple[int, int]] = {
    "protocol_fee_bps": (0, 1_000),
    "min_submit_window": (1, 604_800),
    "max_submit_window": (5, 365 * 86_400),
    "min_judge_window": (1, JUDGE_WINDOW_LIMIT),
    "max_judge_window": (5, 18_000),  # half of the life of the seeds
    "reveal_window": (18, 30 * 86_400),  # twice the delay of the seeds
    "mediation_limit": (60, 90 * 86_400),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_construction__at_each_bound__works_and_one_beyond_not(world: World, name: str) -> None:
    """beh:B8"""
    least, most = BOUNDS[name]
    for value in (least, most):
        core = world.evm.deploy("Lilypad", replace(world.parameters, **{name: value}))
        found = world.evm.at("LilypadResolver", core.resolver()).parameters()
        assert value in tuple(found)
    camel = "".join(part.capitalize() if index else part for index, part in enumerate(name.split("_")))
    beyond = [most + 1] + ([least - 1] if least else [])
    for value in beyond:
        other = {"min_submit_window": "max_submit_window", "min_judge_window": "max_judge_window"}
        with pytest.raises(Reverted) as reverted:
            world.evm.deploy("Lilypad", replace(world.parameters, **{name: value}))
        assert reverted.value.name == "ParameterOutOfBounds"
        assert reverted.value.arguments["name"] in (camel, other.get(name), *_mirror(name))


def _mirror(name: str) -> tuple[str, ...]:
    """A maximum below its minimum is named by the one that is checked first."""
    return {"max_submit_window": ("minSubmitWindow",), "max_judge_window": ("minJudgeWindow",)}.get(name, ())


def test_construction__judge_window_beyond_its_sixteen_bits__is_refused(world: World) -> None:
    """inv:I33: the word of a deal keeps it in 16 bits."""
    long_lived = world.evm.deploy("ScriptedRandomness", 6, 2**32 - 1, 9)
    parameters = replace(world.parameters, randomness=long_lived.address)
    world.evm.deploy("Lilypad", replace(parameters, max_judge_window=65_535))
    with pytest.raises(Reverted) as reverted:
        world.evm.deploy("Lilypad", replace(parameters, max_judge_window=65_536))
    assert reverted.value.name == "ParameterOutOfBounds"
    assert dict(reverted.value.arguments) == {"name": "maxJudgeWindow", "found": 65_536, "least": 5, "most": 65_535}


# ---- what the code cannot do


FORBIDDEN = {0x32: "ORIGIN", 0xF0: "CREATE", 0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xF5: "CREATE2", 0xFF: "SELFDESTRUCT"}


def opcodes(code: bytes) -> set[int]:
    """Opcodes up to the metadata that the compiler appends, push data left out."""
    end = len(code) - int.from_bytes(code[-2:], "big") - 2
    found, at = set(), 0
    while at < end:
        opcode = code[at]
        found.add(opcode)
        at += 1 + (opcode - 0x5F if 0x60 <= opcode <= 0x7F else 0)
    return found


@pytest.mark.parametrize("name", ["Lilypad", "LilypadResolver"])
def test_code__has_no_way_to_run_other_code_to_vanish_or_to_ask_for_the_origin(world: World, name: str) -> None:
    """beh:A9 beh:B18 inv:I22 inv:T13"""
    contract = world.core if name == "Lilypad" else world.resolver
    found = opcodes(world.evm.code(contract))
    assert not {FORBIDDEN[opcode] for opcode in found & FORBIDDEN.keys()}
    assert len(world.evm.code(contract)) <= 24_576


def test_functions__take_no_coins_and_set_no_parameter() -> None:
    """beh:B18 inv:I19 inv:I20: no owner, no pause, no setter: what changes state is this list."""
    changing = {
        entry["name"] for name in ("Lilypad", "LilypadResolver") for entry in _build()[name]["abi"]
        if entry["type"] == "function" and entry["stateMutability"] != "view" and entry["stateMutability"] != "pure"
    }  # fmt: skip
    payable = [e for name in ("Lilypad", "LilypadResolver") for e in _build()[name]["abi"] if e.get("stateMutability") == "payable"]
    kinds = {e["type"] for name in ("Lilypad", "LilypadResolver") for e in _build()[name]["abi"]}
    assert not payable and not kinds & {"fallback", "receive"}
    assert changing == {
        "deposit", "depositWithPermit", "withdraw", "transferCredit", "donate", "sweep", "claimRoyalty", "claimSolverFee",
        "approve", "grantDelegate", "revokeDelegate", "cancel", "cancelBelow",
        "open", "openBatch", "openAndSubmit", "openSubmitAndSettle", "submitResult", "submitResults", "submitSignedResults",
        "submitAndSettle", "settle", "settleBatch", "conclude", "releaseNonce", "payFromFund",
        "decline", "declineBatch", "timeoutSubmit", "timeoutReveal", "close", "closeBatch", "challenge", "challengeDelivery",
        "audit", "repayAdvance", "timeoutMediation", "stepBatch", "resolve",
    }  # fmt: skip
