"""Providers that do not work, and those who help them: lazy, absent and bribed seats."""

from __future__ import annotations

from fractions import Fraction

from lilypad_agents.protocol.mediation import Finding
from tests.adversaries.arena import (
    SEAT_STAKE,
    VALUE,
    Appellant,
    Bench,
    Game,
    Part,
    Plan,
    Play,
    Scenario,
    Vote,
    captures,
    nobody,
    rational,
    truth,
)
from tests.support.evm import expect_revert
from tests.support.panels import CANNOT_RUN, NEVER, RIGHT, UNAVAILABLE

PROVIDER = frozenset({"provider"})
ALL_ROUNDS = 4
FALSE_RATES = (Fraction(0), Fraction(1, 20), Fraction(1, 10))


def honest_deal(game: Game) -> None:
    """Everybody does what the protocol expects: what attackers could have done instead."""
    case = game.deal()
    if game.lottery(case):
        game.judge(case, Plan())


def alone(aim: str) -> Vote:
    """Hostile seats vote `aim` alone, and like honest ones on panels, whose capture an appeal would make dear."""
    return lambda bench: aim if bench.size == 1 else bench.truth


def skip_work(hostile: Vote = captures(RIGHT), appellant: Appellant = rational, honest: Vote = truth) -> Play:
    """A result that was not computed; hostile seats confirm it wherever they are the majority."""

    def play(game: Game) -> None:
        case = game.deal(honest=False, work=False)
        if game.lottery(case):
            game.judge(case, Plan(hostile=hostile, honest=honest, appellant=appellant))

    return play


def unserved_alone(bench: Bench) -> str:
    """Honest lone seats get no inputs; panels do."""
    return UNAVAILABLE if bench.number == 0 else bench.truth


def starving(vote: Vote, second: str | None = None) -> Vote:
    """Hostile seats vote as `vote` says. After an honest lone seat that was not served the panel sits in any case, so that a
    hostile second one finds the truth, or says `second`."""
    return lambda bench: (second or bench.truth) if bench.again and bench.size == 1 else vote(bench)


def never_opens(game: Game) -> None:
    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.judge(case, Plan(hostile=captures(RIGHT), opens=False))


def follows(_bench: Bench) -> str:
    """Votes for what the provider leaked, without running anything."""
    return RIGHT


def lazy(honest_provider: bool) -> Play:
    """All hostile seats copy, whether they are the majority or not; the provider has nothing to do with them."""

    def play(game: Game) -> None:
        case = game.deal(honest=honest_provider, work=honest_provider)
        if game.lottery(case):
            game.judge(case, Plan(hostile=follows, knows=True))

    return play


def diligent(honest_provider: bool) -> Play:
    """What lazy seats would have earned by running the job, of the same provider."""

    def play(game: Game) -> None:
        case = game.deal(honest=honest_provider, work=honest_provider)
        if game.lottery(case):
            game.judge(case, Plan())

    return play


def lazy_scenario(rate: Fraction) -> Scenario:
    return Scenario(
        f"lazy seats, {float(rate):.0%} of results false", "T20 T55", "copy what the provider leaks, never run", frozenset(),
        (Part(lazy(True), diligent(True), 1 - rate), Part(lazy(False), diligent(False), rate)), lottery=True,
        known="nobody is harmed while results are right; the saved runs are lost again from about one false result in thirty"
        if rate < Fraction(1, 10) else "",
    )  # fmt: skip


def absent(game: Game) -> None:
    case = game.deal()
    if game.lottery(case):
        game.judge(case, Plan(hostile=lambda bench: NEVER))


def bribed(rounds: int, appellant: Appellant = rational) -> Play:
    """The provider promises each seat of the first panels its stake if the vote should lose: then it has to pay."""

    def seats(bench: Bench) -> str:
        return RIGHT if 1 <= bench.number <= rounds else bench.truth

    def play(game: Game) -> None:
        case = game.deal(honest=False, work=False)
        if not game.lottery(case):
            return
        game.judge(case, Plan(hostile=captures(RIGHT, seats), honest=seats, appellant=appellant))
        lost = [address for number, accounts in case.benches for address in accounts if 1 <= number <= rounds]
        if game.world.state(case.deal).status.name == "MEDIATION_REJECTED" and lost:
            game.world.core.transferCredit(
                game.world.token, lost, [SEAT_STAKE + VALUE // 100] * len(lost), sender=game.world.provider
            )

    return play


def late_and_collects(game: Game) -> None:
    """Never submits, and has a friend call its own timeout for the bounty."""
    world = game.world
    deal, _ = world.open(**game.terms())
    game.deals.append(deal)
    world.pass_to(world.state(deal).deadline + 1)
    world.resolver.timeoutSubmit(deal.words, sender=world.challenger)


def appeals_without_money(game: Game) -> None:
    """Caught, it calls appeals that it cannot pay."""

    def broke(bench: Bench, finding: Finding) -> str | None:
        if bench.number < ALL_ROUNDS - 1:
            with expect_revert("ERC20InsufficientAllowance"):
                game.running.appeal(game.world.provider)
        return rational(bench, finding)

    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.running = case
        game.judge(case, Plan(hostile=alone(RIGHT), appellant=broke))


def appeals_again(game: Game) -> None:
    """Caught, it pays for round after round."""

    def again(bench: Bench, finding: Finding) -> str | None:
        return "provider" if finding != Finding.CONFIRMED else rational(bench, finding)

    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.judge(case, Plan(hostile=captures(RIGHT), appellant=again))


def party_stakes(game: Game) -> None:
    """Provider and creator hold half of the pool's stake themselves: they are never seated."""
    world, court = game.world, game.court
    for person in (world.provider, world.creator):
        amount = 100 * SEAT_STAKE
        world.core.withdraw(world.token, amount, person, sender=person)
        world.token.approve(court.staking, amount, sender=person)
        court.staking.stake(court.pool, amount, [], sender=person)
    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.judge(case, Plan())
    assert not {world.provider.address, world.creator.address} & set(game.touched)


SCENARIOS = (
    Scenario("skips the work", "T20 T19 L19 D29", "hostile seats confirm alone, and are honest on panels", PROVIDER,
             (Part(skip_work(alone(RIGHT)), honest_deal),), lottery=True),
    Scenario("skips the work, captures panels", "T20 T19", "hostile seats confirm wherever they are the majority", PROVIDER,
             (Part(skip_work(), honest_deal),), lottery=True),
    Scenario("skips the work, nobody appeals", "T20", "as before; honest seats too poor or too idle to appeal", PROVIDER,
             (Part(skip_work(appellant=nobody), honest_deal),), lottery=True),
    Scenario("skips the work, light", "T20", "4 % audits, collateral 33.3 values", PROVIDER,
             (Part(skip_work(alone(RIGHT)), honest_deal),), True, "light"),
    Scenario("skips the work, strict", "T20", "20 % audits, collateral 6.5 values", PROVIDER,
             (Part(skip_work(alone(RIGHT)), honest_deal),), True, "strict"),
    Scenario("skips the work, every time", "T20", "audited every time, collateral 8 values", PROVIDER,
             (Part(skip_work(alone(RIGHT)), honest_deal),), True, "every time"),
    Scenario("starves honest lone seats", "T20 T56", "skips the work, serves inputs only to hostile lone seats; a hostile second one is honest",
             PROVIDER, (Part(skip_work(starving(alone(RIGHT)), honest=unserved_alone), honest_deal),), lottery=True),
    Scenario("starves lone seats, insists", "T20 T56", "as before, and a hostile second one confirms as well", PROVIDER,
             (Part(skip_work(alone(RIGHT), honest=unserved_alone), honest_deal),), lottery=True),
    Scenario("starves lone seats, nobody appeals", "T20 T56", "a hostile second one says that it cannot run the job; captures panels", PROVIDER,
             (Part(skip_work(starving(captures(RIGHT), CANNOT_RUN), appellant=nobody, honest=unserved_alone), honest_deal),), lottery=True),
    Scenario("skips the work, never opens", "L19", "lets its window pass when it is drawn", PROVIDER, (Part(never_opens, honest_deal),), lottery=True),
    *(lazy_scenario(rate) for rate in FALSE_RATES),
    Scenario("absent seats", "T16 L19", "hostile seats never commit", frozenset(), (Part(absent, honest_deal),), lottery=True),
    Scenario("bribes the first panel", "T32", "P + epsilon: seats are made whole when they lose", PROVIDER, (Part(bribed(1), honest_deal),), lottery=True),
    Scenario("bribes two panels", "T32", "three and seven seats", PROVIDER, (Part(bribed(2), honest_deal),), lottery=True),
    Scenario("late, collects its own timeout", "T46", "a friend earns the keeper's bounty", frozenset({"provider", "challenger"}),
             (Part(late_and_collects, honest_deal),), by_share=False),
    Scenario("appeals without money", "T35 T58", "calls appeals that it cannot pay", PROVIDER, (Part(appeals_without_money, honest_deal),), lottery=True),
    Scenario("caught, appeals again and again", "T20 T58", "to seven and fifteen seats", PROVIDER, (Part(appeals_again, honest_deal),), lottery=True),
    Scenario("a party that stakes", "T54 T19", "provider and creator hold half of the pool themselves", PROVIDER,
             (Part(party_stakes, honest_deal),), lottery=True, by_share=False),
)  # fmt: skip
