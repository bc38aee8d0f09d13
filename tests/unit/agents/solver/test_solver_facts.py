"""Cached facts: asked once, in company, and again when an event says so."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.solver.facts import (
    ChainFacts,
    Fact,
    account_fact,
    actor_fact,
    cap_fact,
    consent_fact,
    facts_of,
    job_nonce_fact,
    use_fact,
    view_of,
)
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.errors import ChainUnreachable
from lilypad_agents.protocol.deal import deal_from_offers
from tests.support.live_offers import DOMAIN, NOW, PARAMETERS, TOKEN, job, resource

HEAD: Any = SimpleNamespace(number=5, hash=bytes(32))


class CountingFacts(ChainFacts):
    """A chain whose answers are numbered by the request, so that one sees which request an answer came from."""

    def __init__(self) -> None:
        super().__init__(None, DOMAIN)  # type: ignore[arg-type]
        self.requests: list[list[Fact]] = []
        self.failing = False
        self.before: Any = lambda: None

    def _ask(self, facts: Any, block: Any) -> dict[Fact, Any]:
        self.before()
        if self.failing:
            raise ChainUnreachable("down")
        self.requests.append(list(facts))
        number = len(self.requests)
        return {fact: (number, 0, 0, 0) if fact.name == "accountOf" else number for fact in facts}


def event(name: str, **args: Any) -> DecodedEvent:
    return DecodedEvent(name, args, "0x", 1, bytes(32), bytes(32), 0)


def unknown(_: bytes) -> None:
    return None


def test_get__known__is_not_asked_again() -> None:
    facts, entry = CountingFacts(), job()
    wanted = facts_of(entry, entry.account)
    facts.get(wanted)
    facts.get(wanted)
    assert [len(request) for request in facts.requests] == [2]


def test_get__twenty_threads_at_once__share_requests() -> None:
    """flt:F8: no pile-up, one request in flight."""
    facts, gate, entered = CountingFacts(), threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(5)

    facts.before = wait
    entries = [job() for _ in range(20)]
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda e=entry: found.append(facts.get([job_nonce_fact(e.account, e.offer.nonce)])))
        for entry in entries
    ]
    threads[0].start()
    assert entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(facts._wanted) < 19:
        gate.wait(0.001)
    gate.set()
    for thread in threads:
        thread.join(5)
    assert [len(request) for request in facts.requests] == [1, 19]
    assert len(found) == 20


def test_get__chain_down__everybody_who_waits_hears_it_and_the_next_asks_again() -> None:
    """flt:F6"""
    facts, fact = CountingFacts(), account_fact(TOKEN, job().account)
    facts.failing = True
    with pytest.raises(ChainUnreachable):
        facts.get([fact])
    facts.failing = False
    assert facts.get([fact])[fact] == (1, 0, 0, 0)


def test_note__events__touch_what_they_may_change_and_nothing_else() -> None:
    facts = CountingFacts()
    entry, offer, other = job(), resource(), job()
    deal = deal_from_offers(entry.offer, offer.offer, entry.module, entry.pool)
    facts.get([*facts_of(entry, entry.account), *facts_of(offer, offer.account), *facts_of(other, other.account)])
    opened = event("DealOpened", dealId=b"", creator=deal.creator, provider=deal.provider, record=deal.words)
    facts.note([opened], lambda hash_: (entry.account, entry.offer.nonce) if hash_ == entry.id else None)
    assert facts._dirty == {
        account_fact(TOKEN, entry.account),
        account_fact(TOKEN, offer.account),
        job_nonce_fact(entry.account, entry.offer.nonce),
        use_fact(offer.account, offer.offer.nonce),
    }
    assert facts.refresh(HEAD) == {entry.account, offer.account}
    assert facts._dirty == set()


def test_note__deal_of_an_offer_that_we_do_not_know__doubts_all_nonces_of_its_creator() -> None:
    """Another offer with the same nonce was opened elsewhere. beh:H12"""
    facts, entry, offer = CountingFacts(), job(), resource()
    deal = deal_from_offers(job().offer, offer.offer, entry.module, entry.pool)
    facts.get(facts_of(entry, entry.account))
    facts.note(
        [event("DealOpened", dealId=b"", creator=deal.creator, provider=deal.provider, record=deal.words)], unknown
    )
    assert job_nonce_fact(entry.account, entry.offer.nonce) in facts._dirty


def test_note__cancelled_on_chain__only_that_nonce_is_doubted() -> None:
    """beh:H12"""
    facts, entry, other = CountingFacts(), job(), job()
    facts.get([*facts_of(entry, entry.account), *facts_of(other, other.account)])
    facts.note(
        [event("OfferNonceCancelled", account=entry.account, resource=False, nonce=entry.offer.nonce)], unknown
    )
    assert facts._dirty == {job_nonce_fact(entry.account, entry.offer.nonce)}


@pytest.mark.parametrize("name", ["Deposited", "Withdrawn", "CreditTransferred"])
def test_note__money_moved__accounts_named_are_doubted(name: str) -> None:
    facts, entry = CountingFacts(), job()
    facts.get(facts_of(entry, entry.account))
    facts.note([event(name, token=TOKEN, account=entry.account, to=entry.account)], unknown)
    assert facts._dirty == {account_fact(TOKEN, entry.account)}


def test_note__rights_changed__consents_and_actors_are_doubted() -> None:
    facts, entry, offer = CountingFacts(), job(), resource()
    rights = [
        consent_fact(entry.account, entry.id, b""),
        cap_fact(entry.account, offer.account, TOKEN),
        actor_fact(entry.account, offer.account, 7),
    ]
    facts.get([*rights, *facts_of(entry, entry.account)])
    facts.note([event("DelegateRevoked", account=entry.account, key=offer.account)], unknown)
    assert facts._dirty == set(rights)


def test_refresh__event_arrives_while_it_asks__answer_is_not_taken_for_new() -> None:
    facts, entry = CountingFacts(), job()
    fact = account_fact(TOKEN, entry.account)
    facts.get([fact])
    facts.note([event("Deposited", token=TOKEN, account=entry.account)], unknown)
    facts.before = lambda: facts.note([event("Withdrawn", token=TOKEN, account=entry.account)], unknown)
    facts.refresh(HEAD)
    assert fact in facts._dirty


def test_keep_only__offers_that_closed__are_forgotten() -> None:
    """flt:F35: memory stays flat."""
    facts, kept = CountingFacts(), job()
    facts.get(facts_of(kept, kept.account))
    for _ in range(200):
        entry = job()
        facts.get(facts_of(entry, entry.account))
    facts.keep_only(set(facts_of(kept, kept.account)))
    assert len(facts) == 2
    assert facts._of_account.keys() == {kept.account}


def test_view__offer_of_which_nothing_is_known__counts_as_unsigned() -> None:
    facts, entry = CountingFacts(), job()
    view = view_of(facts, [entry], [], DOMAIN, NOW)
    assert entry.id not in view.speakers and PARAMETERS is not None


def test_view__approval_taken_back__counts_as_unsigned() -> None:
    from dataclasses import replace

    facts = CountingFacts()
    entry = replace(job(), signature=b"")
    facts._known = {
        account_fact(TOKEN, entry.account): (10, 0, 0, 0),
        job_nonce_fact(entry.account, entry.offer.nonce): (False, False),
        consent_fact(entry.account, entry.id, b""): entry.account,
    }
    assert view_of(facts, [entry], [], DOMAIN, NOW).speakers == {entry.id: entry.account}
    facts._known[consent_fact(entry.account, entry.id, b"")] = "0x" + "00" * 20
    assert view_of(facts, [entry], [], DOMAIN, NOW).speakers == {}
