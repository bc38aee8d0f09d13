"""Data that is not served: by the provider to everybody, to the creator, to some seats; by the creator to the provider."""

from __future__ import annotations

from lilypad_agents.protocol.mediation import Finding
from tests.adversaries.arena import Bench, Game, Part, Plan, Play, Scenario, Vote, captures, nobody
from tests.adversaries.cheating import PROVIDER, honest_deal, unserved_alone
from tests.support.panels import RIGHT, SERVED, UNAVAILABLE, UNSERVED


def withholds(honest: Vote) -> Play:
    """The result is right, but who asks gets nothing."""

    def play(game: Game) -> None:
        case = game.deal()
        if game.lottery(case):
            game.judge(case, Plan(hostile=captures(RIGHT, honest), honest=honest, appellant=nobody))

    return play


def from_everybody(_bench: Bench) -> str:
    return UNAVAILABLE


def result_from_everybody(_bench: Bench) -> str:
    return UNSERVED


def from_the_panel(game: Game) -> None:
    """Challenged by its creator, the provider serves nobody who sits on the panel."""
    case = game.challenge(game.deal(), by="creator")
    game.judge(case, Plan(hostile=captures(RIGHT, from_everybody), honest=from_everybody, appellant=nobody))


def challenged_in_vain(game: Game) -> None:
    """What the same provider would have had by serving."""
    game.judge(game.challenge(game.deal(), by="creator"), Plan())


def from_the_creator(game: Game) -> None:
    """The creator challenges the delivery; the panel is served."""
    case = game.deal()
    case.challenge_delivery()
    game.judge(case, Plan(hostile=lambda bench: SERVED, honest=lambda bench: SERVED))
    if game.lottery(case):
        game.judge(case, Plan())


def from_creator_and_panel(game: Game) -> None:
    case = game.deal()
    case.challenge_delivery()
    game.judge(case, Plan(hostile=captures(SERVED, from_everybody), honest=from_everybody, appellant=appeals_for_creator))


def appeals_for_creator(_bench: Bench, finding: Finding) -> str | None:
    return "creator" if finding == Finding.CONFIRMED else None


def creator_withholds(game: Game) -> None:
    """Posts an offer whose inputs nobody can fetch; the provider declines in time."""
    world = game.world
    pair = world.pair(**game.terms())
    deal, _ = world.open(pair)
    game.deals.append(deal)
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)


SCENARIOS = (
    Scenario("withholds from everybody", "T23 T56", "right result, nothing served", PROVIDER,
             (Part(withholds(from_everybody), honest_deal),), lottery=True),
    Scenario("withholds the result data", "T23 T56", "inputs served, result data not", PROVIDER,
             (Part(withholds(result_from_everybody), honest_deal),), lottery=True),
    Scenario("withholds from lone seats", "T56", "panels are served", PROVIDER, (Part(withholds(unserved_alone), honest_deal),), lottery=True),
    Scenario("withholds from the panel", "T56", "challenged by the creator", PROVIDER, (Part(from_the_panel, challenged_in_vain),)),
    Scenario("withholds from the creator", "T23", "the delivery panel is served", PROVIDER, (Part(from_the_creator, honest_deal),), lottery=True,
             known="its seats are paid for fetching, which costs nothing here; the provider itself gains nothing"),
    Scenario("withholds from creator and panel", "T23", "delivery challenge", PROVIDER, (Part(from_creator_and_panel, honest_deal),)),
    Scenario("creator withholds inputs", "T53", "the provider declines", frozenset({"creator"}), (Part(creator_withholds),), by_share=False,
             known="1 % of the value a decline, by rule (section 4); gas and bother not counted"),
)  # fmt: skip
