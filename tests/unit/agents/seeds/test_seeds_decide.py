"""What a participant decides, at the borders of every window: from literals, without a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lilypad_agents.agents.seeds.decide import COMMIT_GAS, LEFT_FREE, REVEAL_GAS, Action, Commitment, Intent, SeedView, decide
from lilypad_agents.agents.seeds.settings import SeedConfig, SeedSettings
from lilypad_agents.protocol.commit_reveal import Rounds
from lilypad_agents.protocol.units import Period, Timestamp

BOND, BID = 10**18, 2 * 10**9
ROUNDS = Rounds(period_s=1_000, lookahead_s=100, reveal_s=300, bond=BOND)
CONFIG = SeedConfig(commit_by_bps=9_000, reveal_reserve=10)
# Period 7 runs from second 7,000; its secrets are taken from 7,100 to 7,400; until 7,900 one commits for period 8.


def fees(reveals: int, config: SeedConfig = CONFIG) -> int:
    """What a commitment leaves for gas, with so many reveals to come after it."""
    return BID * (COMMIT_GAS + reveals * REVEAL_GAS * config.reveal_reserve)


def view(time: int, *periods: int, **changes: object) -> SeedView:
    """A rich account with these commitments, which has committed before."""
    commitments = tuple(Commitment(Period(period)) for period in periods)
    found = SeedView(Timestamp(time), ROUNDS, free=LEFT_FREE, coin=100 * BOND, bid=BID, commitments=commitments)
    return replace(found, **changes)  # type: ignore[arg-type]


def sent(looked: SeedView, config: SeedConfig = CONFIG) -> list[tuple[str, int]]:
    return [(str(intent.action), intent.period) for intent in decide(looked, config).intents]


# ---- reveals


@pytest.mark.parametrize(("time", "reveals"), [(7_099, False), (7_100, True), (7_400, True), (7_401, False)])
def test_reveal__borders_of_the_window__only_within(time: int, reveals: bool) -> None:
    assert (("reveal", 7) in sent(view(time, 7))) is reveals


def test_reveal__due__comes_first_and_names_the_last_second() -> None:
    first, second = decide(view(7_100, 7), CONFIG).intents
    assert first == Intent(Action.REVEAL, Period(7), Timestamp(7_400))
    assert second == Intent(Action.COMMIT, Period(8), Timestamp(7_999), BOND)


def test_reveal__several_due_in_windows_longer_than_a_period__the_earliest_deadline_first() -> None:
    """Lookahead and reveal together are longer than a period, so three commitments are open at once."""
    long = Rounds(period_s=1_000, lookahead_s=500, reveal_s=1_700, bond=BOND)
    looked = view(7_600, 7, 6, 8, rounds=long)
    assert sent(looked) == [("reveal", 6), ("reveal", 7)]
    assert decide(looked, CONFIG).intents[0].deadline == 8_200
    assert sent(replace(looked, time=Timestamp(8_201))) == [("reveal", 7), ("reclaim", 6), ("commit", 9)]


def test_reveal__of_what_is_not_our_secret__is_reported_and_not_tried() -> None:
    """Neither is it committed over: the chain takes one commitment of an account and period."""
    looked = view(7_200, commitments=(Commitment(Period(7), ours=False), Commitment(Period(8), ours=False)))
    found = decide(looked, CONFIG)
    assert found.intents == ()
    assert found.foreign == (7, 8)


def test_reveal__under_way__is_not_repeated() -> None:
    assert ("reveal", 7) not in sent(view(7_200, 7, busy=frozenset({(Action.REVEAL, Period(7))})))


def test_reveal__account_too_poor_for_its_gas__is_sent_all_the_same_and_said() -> None:
    """Somebody may send coin before the window ends."""
    found = decide(view(7_200, 7, coin=REVEAL_GAS * BID - 1), CONFIG)
    assert found.intents == (Intent(Action.REVEAL, Period(7), Timestamp(7_400)),)
    assert found.missing >= 1


# ---- commitments


@pytest.mark.parametrize(
    ("time", "period"), [(7_000, 8), (7_900, 8), (7_901, None), (7_999, None), (8_000, 9), (6_999, None)]
)
def test_commit__borders_of_the_period__until_the_share_that_is_set(time: int, period: int | None) -> None:
    assert sent(view(time)) == ([] if period is None else [("commit", period)])


def test_commit__a_share_beyond_the_last_second__never_goes_past_the_period() -> None:
    """A period of one second has no part in which it is too late and none that is left over."""
    short = replace(ROUNDS, period_s=1)
    assert decide(view(7_000, rounds=short), CONFIG).intents == (Intent(Action.COMMIT, Period(7_001), Timestamp(7_000), BOND),)


@pytest.mark.parametrize(("free", "value"), [(0, BOND + 1), (1, BOND), (BOND // 4, BOND - BOND // 4 + 1), (BOND, 1), (BOND + 1, 0), (3 * BOND, 0)])
def test_commit__free_bond__only_what_it_lacks_goes_along(free: int, value: int) -> None:
    """One wei stays: what brings a bond back costs more where the free bond is empty."""
    assert decide(view(7_500, free=free), CONFIG).intents[0].value == value


def test_commit__committed_or_under_way__is_not_repeated() -> None:
    assert sent(view(7_500, 8)) == []
    assert sent(view(7_500, busy=frozenset({(Action.COMMIT, Period(8))}))) == []


@pytest.mark.parametrize("open_periods", [(), (7,)])
def test_commit__coin_for_bond_and_every_reveal__to_the_wei(open_periods: tuple[int, ...]) -> None:
    """inv:T51 A bond whose reveal cannot be paid would be thrown away."""
    enough = BOND + fees(len(open_periods) + 1)
    time = 7_050  # before the window of 7
    assert sent(view(time, *open_periods, coin=enough)) == [("commit", 8)]
    # With one open, its bond comes back in time; so the account has to lack the gas as well.
    poor = decide(view(time, *open_periods, coin=enough - 1, rounds=replace(ROUNDS, reveal_s=801)), CONFIG)
    assert poor.intents == ()
    assert poor.missing == 1


def test_commit__coin_of_one_bond_only__waits_for_the_one_that_comes_back() -> None:
    """One bond is enough where its reveals end before the next commitment has to leave; nobody is called for it."""
    looked = view(7_050, 7, coin=fees(2))
    assert (decide(looked, CONFIG).intents, decide(looked, CONFIG).missing) == ((), 0)
    back = replace(looked, time=Timestamp(7_300), commitments=(), free=BOND + LEFT_FREE)
    assert decide(back, CONFIG).intents == (Intent(Action.COMMIT, Period(8), Timestamp(7_999), 0),)


def test_commit__the_bond_would_come_back_too_late__is_missing() -> None:
    late = replace(ROUNDS, reveal_s=801)  # 7,901
    assert decide(view(7_050, 7, coin=fees(2), rounds=late), CONFIG).missing == BOND
    just = replace(ROUNDS, reveal_s=800)
    assert decide(view(7_050, 7, coin=fees(2), rounds=just), CONFIG).missing == 0


def test_commit__poor_at_the_end_of_a_period__still_says_so() -> None:
    """The reason stays when the time for this commitment is over: the next one lacks the same."""
    assert decide(view(7_950, coin=0), CONFIG).missing == BOND + fees(1)


# ---- bonds that are over


def test_reclaim__nobody_revealed__from_the_second_after_the_window() -> None:
    assert sent(view(7_400, 7)) == [("reveal", 7), ("commit", 8)]
    assert sent(view(7_401, 7)) == [("reclaim", 7), ("commit", 8)]


def test_reclaim__not_our_secret__comes_back_as_well() -> None:
    assert ("reclaim", 5) in sent(view(7_500, commitments=(Commitment(Period(5), ours=False),)))


def test_reclaim__others_revealed__is_lost_and_nothing_is_sent() -> None:
    found = decide(view(7_401, commitments=(Commitment(Period(7), revealed=1),)), CONFIG)
    assert found.lost == (7,)
    assert [intent.action for intent in found.intents] == [Action.COMMIT]


# ---- leaving


def test_leave__commits_to_nothing_and_reveals_what_is_open() -> None:
    leaving = SeedConfig(leave=True)
    found = decide(view(7_100, 7), leaving)
    assert ([intent.action for intent in found.intents], found.idle) == ([Action.REVEAL], False)
    assert decide(view(7_050, 7), leaving).idle is False
    ended = decide(view(7_300, coin=0), leaving)
    assert (ended.intents, ended.missing, ended.idle) == ((), 0, True)


@pytest.mark.parametrize(
    ("commitment", "idle"),
    [
        (Commitment(Period(5)), False),  # to be reclaimed
        (Commitment(Period(5), revealed=2), True),  # lost for ever
        (Commitment(Period(8), ours=False), True),  # nothing that this key could do
    ],
)
def test_leave__ends_when_no_bond_can_come_back(commitment: Commitment, idle: bool) -> None:
    assert decide(view(7_500, commitments=(commitment,)), SeedConfig(leave=True)).idle is idle


def test_leave__commitment_still_under_way__is_waited_for() -> None:
    busy = frozenset({(Action.COMMIT, Period(8))})
    assert decide(view(7_500, busy=busy), SeedConfig(leave=True)).idle is False


# ---- settings


def test_load_settings__of_a_participant__from_its_table_and_the_environment(tmp_path: object) -> None:
    file = tmp_path / "seeds.toml"  # type: ignore[operator]
    file.write_text('data = "here"\n[seeds]\ncommit_by_bps = 5000\n', encoding="utf-8")
    found = SeedSettings.load(file=file, environment={"LILYPAD_SEEDS_REVEAL_RESERVE": "7"}, flags={"leave": True})
    assert (found.commit_by_bps, found.reveal_reserve, found.leave) == (5_000, 7, True)


# ---- bonds that were lost


def lost(*periods: int) -> frozenset[Period]:
    return frozenset(map(Period, periods))


def test_lost__as_many_as_may_be_lately__commits_to_nothing_until_one_lies_far_enough_back() -> None:
    """Something keeps the reveals out: without a stop every period costs a bond. Period 32 is the 24th after 8."""
    many = lost(8, 20, 25)
    assert decide(view(30_500, lost=many), CONFIG).halted == 32
    assert sent(view(30_500, lost=many)) == []
    assert sent(view(31_500, lost=many)) == [("commit", 32)]
    assert decide(view(31_500, lost=many), CONFIG).halted is None


def test_lost__fewer_or_long_ago__commits_on() -> None:
    assert sent(view(30_500, lost=lost(20, 25))) == [("commit", 31)]
    assert sent(view(30_500, lost=lost(1, 2, 3, 20, 25))) == [("commit", 31)]
    assert sent(view(30_500, lost=lost(20, 25)), SeedConfig(most_lost=2)) == []


def test_lost__seen_in_this_look__counts_at_once() -> None:
    gone = (Commitment(Period(28), revealed=1),)
    found = decide(view(30_500, commitments=gone, lost=lost(20, 25)), CONFIG)
    assert (found.lost, found.halted, found.intents) == ((28,), 44, ())


def test_lost__halted__still_reveals_and_reclaims_what_is_open() -> None:
    looked = view(30_200, 30, 27, lost=lost(20, 25, 26))
    assert sent(looked) == [("reveal", 30), ("reclaim", 27)]
