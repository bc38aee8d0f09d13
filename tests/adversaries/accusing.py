"""Accusations without cause: creators and challengers, lone seats that raise false alarms, steps in the last second."""

from __future__ import annotations

from lilypad_agents.protocol.mediation import Phase
from tests.adversaries.arena import HONEST, Appellant, Game, Part, Plan, Play, Scenario, captures, nobody, rational
from tests.adversaries.cheating import honest_deal
from tests.support.evm import expect_revert
from tests.support.panels import BROKEN, CANNOT_RUN, UNAVAILABLE, UNSERVED, WRONG

SEATS = frozenset()
CREATOR = frozenset({"creator"})


def accuses(by: str, appellant: Appellant = rational) -> Play:
    """Challenges a right result before the lottery; hostile seats agree on another digest where they are the majority."""

    def play(game: Game) -> None:
        case = game.challenge(game.deal(), by=by)
        game.judge(case, Plan(hostile=captures(WRONG), appellant=appellant))

    return play


def accepts(game: Game) -> None:
    """What an honest creator does with a right result."""
    game.settle(game.spared(game.deal()))


def false_alarm(word: str, appellant: Appellant = rational) -> Play:
    """A hostile lone seat calls the panel by `word`; the panel confirms it where hostile seats are the majority."""

    def play(game: Game) -> None:
        case = game.deal()
        if game.lottery(case):
            game.judge(case, Plan(hostile=captures(word), appellant=appellant))

    return play


def last_second_challenge(game: Game) -> None:
    """At the judge deadline itself; every window of the dispute is whole all the same."""
    case = game.deal()
    game.world.pass_to(game.world.state(case.deal).deadline)
    game.challenge(case, by="creator")
    case.queue()
    game.draw(case)
    assert case.now()[1] - game.world.evm.timestamp == game.court.pool.commit_window
    game.judge(case, Plan(hostile=captures(WRONG)))


def last_second_reveal(game: Game) -> None:
    """A hostile seat reveals its false alarm at the deadline; one second later it could not have."""
    case = game.deal()
    if not game.lottery(case):
        return
    case.queue()
    game.draw(case)
    vote = WRONG if case.seating.accounts[0] in game.hostile else case.truth
    if vote == case.truth:
        game.works(HONEST)
    case.commit(0, vote)
    case.open()
    deadline = case.now()[1]
    game.world.pass_to(deadline)
    with game.world.evm.snapshot():
        game.world.pass_to(deadline + 1)
        with expect_revert("PhaseWrong"):
            case.reveal(0, vote)
    game.world.pass_to(deadline)
    case.reveal(0, vote)
    assert case.phase in (Phase.DUE, Phase.APPEALABLE)
    game.judge(case, Plan(hostile=captures(WRONG)))


SCENARIOS = (
    Scenario("creator accuses without cause", "T22", "challenge before the lottery, with hostile seats", CREATOR, (Part(accuses("creator"), accepts),)),
    Scenario("creator accuses, nobody appeals", "T22", "the provider too poor to appeal", CREATOR, (Part(accuses("creator", nobody), accepts),)),
    Scenario("stranger accuses without cause", "T22", "for the bounty and the fees", frozenset({"challenger"}), (Part(accuses("challenger"), accepts),)),
    Scenario("false alarm: another digest", "T55 L19", "a hostile lone seat", SEATS, (Part(false_alarm(WRONG), honest_deal),), lottery=True),
    Scenario("false alarm: module broken", "T24 I38", "the seat's word is not punished", SEATS, (Part(false_alarm(BROKEN), honest_deal),), lottery=True),
    Scenario("false alarm: cannot run", "I38", "likewise", SEATS, (Part(false_alarm(CANNOT_RUN), honest_deal),), lottery=True),
    Scenario("false alarm: result not served", "T56 I38", "likewise; a captured panel condemns", SEATS, (Part(false_alarm(UNSERVED), honest_deal),), lottery=True),
    Scenario("false alarm: inputs not served", "T56 I38", "asked twice, the provider pays the panel", SEATS,
             (Part(false_alarm(UNAVAILABLE), honest_deal),), lottery=True),
    Scenario("false alarm with the creator", "T24 I38", "module broken: the creator keeps result and money", CREATOR,
             (Part(false_alarm(BROKEN), honest_deal),), lottery=True),
    Scenario("challenges in the last second", "T34", "by the creator, at the judge deadline", CREATOR, (Part(last_second_challenge, accepts),)),
    Scenario("reveals in the last second", "T34", "a false alarm, at the reveal deadline", SEATS, (Part(last_second_reveal, honest_deal),), lottery=True),
)  # fmt: skip
