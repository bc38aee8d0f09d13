"""Which offers are taken, measured against the most generous counterpart; facts come from a core made of literals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.solver.book import JobEntry, OfferBook, ResourceEntry
from lilypad_agents.agents.solver.errors import FundsRefused, NotListed, OfferRefused, RateLimited
from lilypad_agents.agents.solver.facts import ChainFacts, Fact, account_fact, job_nonce_fact, use_fact
from lilypad_agents.agents.solver.intake import Intake
from lilypad_agents.agents.solver.manifests import Manifests
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.store import SolverStore
from lilypad_agents.chain.database import Database
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.pack import pack
from lilypad_agents.protocol.consent import by_delegate
from lilypad_agents.protocol.ids import NOBODY, Address, checksummed
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import CANCELLED_USES
from tests.support.live_offers import (
    CREATOR,
    DOMAIN,
    MODULE,
    NOW,
    PARAMETERS,
    PROVIDER,
    RIVAL,
    SOLVER,
    TOKEN,
    job,
    resource,
    sign,
)


PROJECT = Path(__file__).resolve().parents[4]


class LiteralFacts(ChainFacts):
    """Facts whose chain is a dictionary: everybody has money and nothing was used, unless it says otherwise."""

    def __init__(self) -> None:
        super().__init__(None, DOMAIN)  # type: ignore[arg-type]
        self.chain: dict[Fact, Any] = {}
        self.asked = 0

    def _ask(self, facts: Any, block: Any) -> dict[Fact, Any]:
        self.asked += len(facts)
        usual = {
            "accountOf": (10_000, 0, 0, 0), "jobNonce": (False, False), "resourceUse": 0, "consentOf": NOBODY,
            "delegateOf": (0, 0, 0), "fundOf": 10**18, "isActor": False,
        }  # fmt: skip
        return {fact: self.chain.get(fact, usual[fact.name]) for fact in facts}


class Desk:
    def __init__(self, blocks: LocalStore | None = None, **settings: Any) -> None:
        self.book = OfferBook(SolverStore(Database.open(None)))
        self.facts = LiteralFacts()
        self.intake = Intake(
            SolverSettings(**settings), Address(SOLVER.address), DOMAIN, PARAMETERS, self.book, self.facts,
            manifest_of=(lambda _: None) if blocks is None else Manifests(blocks).of,
        )  # fmt: skip

    def take(self, entry: JobEntry | ResourceEntry) -> None:
        if isinstance(entry, JobEntry):
            self.intake.check_job(entry, NOW)
        else:
            self.intake.check_resource(entry, NOW)

    def refusal(self, entry: JobEntry | ResourceEntry) -> dict[str, Any]:
        """The first refusal, as clients get it."""
        with pytest.raises(OfferRefused) as caught:
            self.take(entry)
        return caught.value.figures["refusals"][0]

    def keep(self, entry: JobEntry | ResourceEntry) -> None:
        self.book.add(entry, {})


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_check__sound_offers__are_taken(desk: Desk) -> None:
    desk.take(job())
    desk.take(resource())


@pytest.mark.parametrize(
    ("change", "term", "found", "bound"),
    [
        ({"submit_window": 4}, "submit window", 4, 5),
        ({"submit_window": 7 * 86_400 + 1}, "submit window", 7 * 86_400 + 1, 7 * 86_400),
        ({"judge_window": 4}, "judge window", 4, 5),
        ({"judge_window": 81}, "judge window", 81, 80),
        ({"solver_fee_bps": 1_001}, "solver fee bps", 1_001, 1_000),
        ({"audit_bps": 1}, "audit bps", 1, 0),  # nothing audits in pool 0
        ({"max_price": 0}, "price", 1, 0),
    ],
)
def test_check_job__term_that_no_counterpart_can_mend__is_refused_with_figures(
    desk: Desk, change: dict[str, int], term: str, found: int, bound: int
) -> None:
    """beh:H8 beh:I6"""
    figures = desk.refusal(job(**change))["figures"]
    assert (figures["term"], figures["found"], figures.get("most", figures.get("least"))) == (term, found, bound)


def test_check_job__window_in_which_no_provider_takes_the_module__is_refused_where_its_manifest_is_here(tmp_path: Path) -> None:
    """beh:H8: a creator earns from providers that decline; this solver opens no deal that has to be declined."""
    blocks = LocalStore(tmp_path / "blocks")
    source = pack(PROJECT / "modules" / "cowsay", PROVIDER.address).manifest
    cid = Cid.raw(source.digest)
    known, module = Desk(blocks=blocks), replace(MODULE, manifest=source.digest)

    known.take(job(module=module, submit_window=14))  # not known here
    blocks.put(cid, source.canonical)
    figures = known.refusal(job(module=module, submit_window=14))["figures"]
    assert (figures["term"], figures["found"], figures["least"]) == ("submit window", 14, 15)
    known.take(job(module=module, submit_window=15))


def test_check_job__requirements_of_a_giant__are_taken(desk: Desk) -> None:
    """Somebody may have such a machine: that is for matching to say."""
    desk.take(job(cpu_milli=2**32 - 1, ram_mib=2**32 - 1, gpu_count=65_535, flags=2**64 - 1, max_units=2**64 - 1))


@pytest.mark.parametrize("expiry", [NOW - 1, 0])
def test_check__expired__is_refused(desk: Desk, expiry: int) -> None:
    assert desk.refusal(job(expiry=expiry))["error"] == "OfferExpired"
    assert desk.refusal(resource(expiry=expiry))["error"] == "OfferExpired"


def test_check__very_last_second__still_counts(desk: Desk) -> None:
    desk.take(job(expiry=NOW))


def test_check__expiry_in_the_far_future__is_refused(desk: Desk) -> None:
    assert desk.refusal(job(expiry=NOW + 31 * 86_400))["error"] == "ExpiryTooFar"


@pytest.mark.parametrize("make", [job, resource])
def test_check__signed_by_somebody_else__is_refused(desk: Desk, make: Any) -> None:
    """beh:I1"""
    entry = make()
    forged = replace(entry, signature=sign(entry.offer, RIVAL))
    assert desk.refusal(forged)["error"] == "SignatureInvalid"
    assert desk.facts.asked == 0  # nothing is asked of the chain for a forgery


@pytest.mark.parametrize("make", [job, resource])
def test_check__altered_after_signing__is_refused(desk: Desk, make: Any) -> None:
    """beh:I16 flt:F33"""
    entry = make()
    altered = replace(entry, offer=replace(entry.offer, cpu_milli=1))
    assert desk.refusal(altered)["error"] == "SignatureInvalid"


def test_check_job__delegate_of_the_account__is_asked_of_the_chain(desk: Desk) -> None:
    entry = job()
    argument = by_delegate(Address(RIVAL.address), sign(entry.offer, RIVAL))
    delegated = replace(entry, signature=argument)
    assert desk.refusal(delegated)["error"] == "SignatureInvalid"  # the core knows no such delegate
    desk = Desk()
    fact = Fact("consentOf", (entry.account, entry.id, argument, 1))
    desk.facts.chain[fact] = RIVAL.address
    desk.facts.chain[Fact("delegateOf", (entry.account, RIVAL.address, TOKEN))] = (1, NOW + 9, 500)
    desk.take(delegated)


def test_check_job__delegate_with_a_signature_of_its_own_that_fails__costs_no_call(desk: Desk) -> None:
    entry = job()
    argument = by_delegate(Address(RIVAL.address), sign(entry.offer, CREATOR))
    assert desk.refusal(replace(entry, signature=argument))["error"] == "SignatureInvalid"
    assert desk.facts.asked == 0


def test_check_job__approved_on_chain__is_taken(desk: Desk) -> None:
    entry = replace(job(), signature=b"")
    assert desk.refusal(entry)["error"] == "SignatureInvalid"
    desk = Desk()
    desk.facts.chain[Fact("consentOf", (entry.account, entry.id, b"", 1))] = entry.account
    desk.take(entry)


@pytest.mark.parametrize(
    ("answer", "error"),
    [((True, False), "NonceUsed"), ((False, True), "OfferCancelled")],
)
def test_check_job__nonce_used_or_cancelled__is_refused(desk: Desk, answer: Any, error: str) -> None:
    """beh:H12"""
    entry = job()
    desk.facts.chain[job_nonce_fact(entry.account, entry.offer.nonce)] = answer
    assert desk.refusal(entry)["error"] == error


def test_check__below_the_floor__is_refused(desk: Desk) -> None:
    entry, offer = job(), resource()
    desk.facts.chain[account_fact(TOKEN, entry.account)] = (10_000, 0, entry.offer.nonce + 1, 0)
    desk.facts.chain[account_fact(TOKEN, offer.account)] = (10_000, 0, 0, offer.offer.nonce + 1)
    assert desk.refusal(entry)["error"] == "OfferCancelled"
    assert desk.refusal(offer)["error"] == "OfferCancelled"


def test_check_resource__cancelled_by_nonce__is_refused(desk: Desk) -> None:
    offer = resource()
    desk.facts.chain[use_fact(offer.account, offer.offer.nonce)] = CANCELLED_USES
    assert desk.refusal(offer)["error"] == "OfferCancelled"


def test_check_resource__used_up__is_refused(desk: Desk) -> None:
    """beh:H6 beh:H12"""
    offer = resource(volume=3)
    desk.facts.chain[use_fact(offer.account, offer.offer.nonce)] = 3
    refused = desk.refusal(offer)
    assert (refused["error"], refused["figures"]["used"], refused["figures"]["volume"]) == ("VolumeUsedUp", 3, 3)


@pytest.mark.parametrize("free", [0, 99])
def test_check_job__cannot_pay_the_cheapest__is_refused_with_has_and_needed(desk: Desk, free: int) -> None:
    """beh:I7"""
    desk.keep(resource(price=250))
    desk.keep(resource(RIVAL, price=100))
    entry = job()
    desk.facts.chain[account_fact(TOKEN, entry.account)] = (free, 0, 0, 0)
    with pytest.raises(FundsRefused) as caught:
        desk.take(entry)
    assert (caught.value.figures["has"], caught.value.figures["needed"]) == (free, 100)
    assert caught.value.exit_code == 11


def test_check_job__no_money_at_all_and_no_offers__is_refused(desk: Desk) -> None:
    """beh:I7"""
    entry = job()
    desk.facts.chain[account_fact(TOKEN, entry.account)] = (0, 0, 0, 0)
    with pytest.raises(FundsRefused):
        desk.take(entry)


def test_check_job__named_provider__its_price_decides_about_the_money(desk: Desk) -> None:
    desk.keep(resource(price=250))
    desk.keep(resource(RIVAL, price=100))
    entry = job(provider=Address(PROVIDER.address))
    desk.facts.chain[account_fact(TOKEN, entry.account)] = (200, 0, 0, 0)
    with pytest.raises(FundsRefused):
        desk.take(entry)


def test_check_job__module_terms_of_another_module__are_refused(desk: Desk) -> None:
    """beh:I16"""
    refused = desk.refusal(replace(job(), module=replace(MODULE, royalty_bps=1)))
    assert (refused["error"], refused["figures"]["field"]) == ("OffersDiffer", "module")


def test_check_job__royalty_above_the_bound__is_refused(desk: Desk) -> None:
    refused = desk.refusal(job(module=replace(MODULE, royalty_bps=3_001)))
    assert refused["figures"]["term"] == "royalty bps"


def test_check_job__pool_whose_terms_are_unusable__is_refused(desk: Desk) -> None:
    strategy = checksummed("0x" + "57" * 20)
    pool = PoolTerms(strategy, TOKEN, 125, 1, 1_000, bytes(32), 10, 10, 10, bytes(32))  # type: ignore[arg-type]
    refused = desk.refusal(job(pool=pool, audit_bps=800, collateral_bps=162_000))
    assert refused["figures"]["term"] == "seat stake"


def test_check_job__names_another_solver__is_refused(desk: Desk) -> None:
    assert desk.refusal(job(solver=checksummed("0x" + "77" * 20)))["figures"]["field"] == "solver"


def test_check_job__fee_below_what_the_solver_asks__is_refused() -> None:
    desk = Desk(fee_bps=100)
    refused = desk.refusal(job(solver=Address(SOLVER.address), solver_fee_bps=99))
    assert (refused["figures"]["found"], refused["figures"]["least"]) == (99, 100)
    desk.take(job(solver=Address(SOLVER.address), solver_fee_bps=100))


def test_check_job__solver_as_its_own_creator__is_refused(desk: Desk) -> None:
    assert desk.refusal(job(SOLVER, solver=Address(SOLVER.address)))["error"] == "PartiesNotDistinct"


def test_check_resource__not_on_the_operators_list__is_refused() -> None:
    """beh:I10"""
    desk = Desk(providers=(PROVIDER.address,))
    desk.take(resource(PROVIDER))
    with pytest.raises(NotListed) as caught:
        desk.take(resource(RIVAL))
    assert caught.value.status == 403


def test_check_resource__list_that_has_another_root__is_refused(desk: Desk) -> None:
    tree = MerkleTree.of([MODULE.id])
    good = resource(tree=tree)
    desk.take(good)
    other = replace(good, tree=MerkleTree.of([b"\x01" * 32]))
    assert desk.refusal(other)["figures"]["field"] == "modules"
    assert desk.refusal(replace(good, tree=None))["figures"]["field"] == "modules"


def test_check_resource__windows_that_no_job_can_have__are_refused(desk: Desk) -> None:
    assert desk.refusal(resource(min_submit_window=7 * 86_400 + 1))["figures"]["term"] == "submit window"
    assert desk.refusal(resource(max_judge_window=4))["figures"]["term"] == "judge window"


def test_check__too_many_open_offers_of_one_account__is_told_to_wait() -> None:
    """beh:I7 flt:F35"""
    desk = Desk(offers_per_account=3)
    for _ in range(3):
        desk.keep(job())
    with pytest.raises(RateLimited) as caught:
        desk.take(job())
    assert caught.value.retry_after > 0
    desk.take(job(RIVAL))  # others have room


def test_check__solver_full__says_so() -> None:
    """beh:I7"""
    desk = Desk(offers_total=2)
    desk.keep(job())
    desk.keep(resource())
    with pytest.raises(RateLimited) as caught:
        desk.take(job(RIVAL))
    assert caught.value.figures["what"] == "open offers of all"
