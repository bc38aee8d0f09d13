"""What to open, and why not, from literals."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.agents.solver.book import JobEntry, parse_job, parse_resource
from lilypad_agents.agents.solver.decide import (
    away_refusal,
    batches_of,
    choose,
    condition_of,
    match_of,
    summary,
    why_job,
    why_resource,
    without_promised,
)
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.opening import grouped, openings_of
from lilypad_agents.protocol.units import Amount
from tests.support.live_offers import (
    CREATOR,
    MODULE,
    PARAMETERS,
    PROVIDER,
    RIVAL,
    TOKEN,
    job,
    resource,
    situation,
    view,
)


def pairs(chosen: Any) -> list[tuple[bytes, bytes]]:
    return [item.id for item in chosen]


def test_choose__cheapest_total__then_the_oldest() -> None:
    """beh:H3"""
    dear, cheap, later = resource(price=200), resource(RIVAL, price=100), resource(price=100)
    first, second = job(), job()
    found = choose(situation([first, second], [dear, cheap, later]))
    assert pairs(found) == [(first.id, cheap.id), (second.id, cheap.id)]


def test_choose__volume_used_in_flight__is_not_promised_again() -> None:
    """beh:H6"""
    offer = resource(volume=2)
    first, second, third = job(), job(), job()
    under_way = match_of(first, offer, PARAMETERS)
    assert under_way is not None
    found = choose(situation([second, third], [offer], in_flight=[under_way], known=view(first, second, third, offer)))
    assert pairs(found) == [(second.id, offer.id)]


def test_choose__money_in_flight__is_not_spent_twice() -> None:
    offer, first, second = resource(), job(), job()
    under_way = match_of(first, offer, PARAMETERS)
    assert under_way is not None and under_way.total == 100
    enough_for_one = replace(view(first, second, offer), free={(TOKEN, CREATOR.address): 199, (TOKEN, PROVIDER.address): 199})
    assert choose(situation([second], [offer], in_flight=[under_way], known=enough_for_one)) == []
    assert len(choose(situation([second], [offer], known=enough_for_one))) == 1


def test_choose__paused_pair__takes_the_next_best() -> None:
    cheap, dear, wanted = resource(price=100), resource(RIVAL, price=150), job()
    found = choose(situation([wanted], [cheap, dear], paused=frozenset({(wanted.id, cheap.id)})))
    assert pairs(found) == [(wanted.id, dear.id)]


def test_choose__same_offers_in_another_order_of_arrival__same_matches() -> None:
    """The rule looks at age, not at the order of a list's memory. beh:H10"""
    jobs = [job(cpu_milli=random.Random(n).choice([100, 3_000])) for n in range(30)]
    offers = [resource(signer, price=100 + n % 3, cpu_milli=1_000 * (n % 5)) for n, signer in enumerate([PROVIDER, RIVAL] * 5)]
    once = pairs(choose(situation(jobs, offers)))
    reread = [replace(parse_job(_document(entry)), seq=entry.seq) for entry in jobs]
    relisted = [replace(parse_resource(_document(entry)), seq=entry.seq) for entry in offers]
    again = pairs(choose(situation(reread, relisted, known=view(*jobs, *offers))))
    assert once == again and len(once) == 30


def _document(entry: Any) -> dict[str, Any]:
    document = {"offer": entry.offer.to_json(), "signature": "0x" + entry.signature.hex()}
    return {**document, "module": entry.module.to_json(), "pool": None} if isinstance(entry, JobEntry) else document


def test_choose__list_of_the_provider__is_obeyed_and_proven() -> None:
    """beh:H7"""
    other = replace(MODULE, manifest=b"\x05" * 32)
    tree = MerkleTree.of([MODULE.id, b"\x01" * 32])
    offer = resource(tree=tree)
    wanted, unlisted = job(), job(module=other)
    found = choose(situation([wanted, unlisted], [offer]))
    assert pairs(found) == [(wanted.id, offer.id)]
    assert found[0].pair.membership == tree.proof(MODULE.id)
    reasons = why_job(unlisted, situation([unlisted], [offer]), [], 30, 10)
    assert [condition_of(item) for item in reasons[0].refusals] == ["ModuleNotOffered"]


def test_without_promised__delegates_cap__is_lowered_too() -> None:
    offer, wanted = resource(), job()
    made = match_of(wanted, offer, PARAMETERS)
    assert made is not None
    speaker = RIVAL.address
    known = replace(
        view(wanted, offer),
        speakers={wanted.id: speaker, offer.id: offer.account},
        caps={(wanted.account, speaker, TOKEN): 150},  # type: ignore[dict-item]
    )
    after = without_promised(known, [made])
    assert after.caps[wanted.account, speaker, TOKEN] == 50  # type: ignore[index]
    assert (wanted.account, wanted.offer.nonce) in after.used_nonces


def test_match_of__offers_that_cannot_be_one_deal__is_none() -> None:
    assert match_of(job(token="0x" + "70" * 19 + "71"), resource(), PARAMETERS) is None


# ---- batches


def test_batches__places__are_those_of_the_calldata() -> None:
    """What `Skipped(group, item)` will speak of."""
    cheap, other = resource(volume=2), resource(RIVAL, price=101)
    jobs = [job() for _ in range(5)]
    (groups,) = batches_of(choose(situation(jobs, [cheap, other])), 64)
    openings = openings_of([item.pair for group in groups for item in group])
    assert [len(opening.jobs) for opening in openings] == [len(group) for group in groups] == [2, 3]
    for group, opening in zip(groups, openings, strict=True):
        assert [item.job.offer.words() for item in group] == [signed.words for signed in opening.jobs]
    assert [members for _, members in grouped([item.pair for group in groups for item in group])] == [
        [item.pair for item in group] for group in groups
    ]


def test_batches__more_pairs_than_fit__go_in_several() -> None:
    chosen = choose(situation([job() for _ in range(10)], [resource()]))
    batches = batches_of(chosen, 4)
    assert [sum(map(len, groups)) for groups in batches] == [4, 4, 2]
    assert sorted(item.job.seq for groups in batches for group in groups for item in group) == [
        item.job.seq for item in chosen
    ]


# ---- reasons


@pytest.mark.parametrize(
    ("change", "condition", "found", "needed"),
    [
        ({"cpu_milli": 4_001}, "TermAbove: cpu", 4_001, 4_000),
        ({"ram_mib": 5_000}, "TermAbove: ram", 5_000, 4_096),
        ({"max_price": 99}, "TermAbove: price", 100, 99),
        ({"submit_window": 4}, "TermBelow: submit window", 4, 5),
        ({"judge_window": 81}, "TermAbove: judge window", 81, 80),
    ],
)
def test_why__one_condition_fails__both_sides_see_it_with_both_values(
    change: dict[str, int], condition: str, found: int, needed: int
) -> None:
    """beh:H8"""
    wanted, offer = job(**change), resource()
    known = situation([wanted], [offer])
    from_job = why_job(wanted, known, [], 30, 10)
    from_offer = why_resource(offer, known, None, 10)
    for obstacles, counterpart in ((from_job, offer.id), (from_offer, wanted.id)):
        (only,) = obstacles
        assert only.counterpart == counterpart
        (refusal,) = only.refusals
        figures = refusal.figures
        limit = figures.get("most", figures.get("least"))
        assert (condition_of(refusal), figures["found"], limit) == (condition, found, needed)


def test_why__provider_away__is_said_beside_the_rest() -> None:
    """beh:H8 beh:H12"""
    wanted, offer = job(), resource()
    (obstacles,) = why_job(wanted, situation([wanted], [], known=view(wanted, offer)), [(offer, 61.0)], 30, 10)
    assert [condition_of(item) for item in obstacles.refusals] == ["ProviderAway"]
    assert obstacles.refusals[0].figures["silent"] == 61
    assert away_refusal(offer, 29.0, 30) is None and away_refusal(offer, None, 30) is not None


def test_why__nothing_in_the_way__is_empty() -> None:
    wanted, offer = job(), resource()
    (obstacles,) = why_job(wanted, situation([wanted], [offer]), [], 30, 10)
    assert obstacles.refusals == ()


def test_summary__counts_offers_by_condition__most_frequent_first() -> None:
    """beh:J22 in part"""
    wanted = job(cpu_milli=5_000, max_price=150)
    offers = [resource(), resource(price=200), resource(RIVAL, price=300)]
    obstacles = why_job(wanted, situation([wanted], offers), [], 30, 10)
    assert summary(obstacles) == {"TermAbove: cpu": 3, "TermAbove: price": 2}


def test_choose__nobody_there__is_nothing() -> None:
    assert choose(situation([job()], [])) == [] and choose(situation([], [resource()])) == []
    assert Amount(0) == 0
