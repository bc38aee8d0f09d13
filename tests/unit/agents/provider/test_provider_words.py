"""What a provider signs, stores and believes: salts, digests, notes, opening calldata, income."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.provider.income import income_of
from lilypad_agents.agents.provider.messages import read_agreement, read_closing, result_note
from lilypad_agents.agents.provider.openings import OpeningReader, opened_from
from lilypad_agents.agents.provider.results import Opening as StoredOpening
from lilypad_agents.agents.provider.results import fuel_of, opened_of, receipt_of
from lilypad_agents.agents.provider.store import ProviderStore, StandingOffer, StoredResult
from lilypad_agents.agents.provider.view import Action
from lilypad_agents.agents.runtime.dealbook import DealView as BookEntry
from lilypad_agents.agents.runtime.http_signature import personal_digest
from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.agents.runtime.threads import Threads
from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.keys import LocalSigner, Secret
from lilypad_agents.content.cid import Cid, Codec
from lilypad_agents.execution.job import ExitClass, RunResult
from lilypad_agents.execution.receipt import verify_receipt
from lilypad_agents.execution.schedule import FUEL_SCHEDULE
from lilypad_agents.protocol.consent import Acceptance, Closing, Domain, Proof, Waiver, by_delegate, by_own_key, recover
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.digest import Head, Opened, Part
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, ZERO, DealId, hex_of
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Pair, openings_of, opening_of
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.unit.agents.provider.provider_views import COIN, PROVIDER, PUBLISHER, TOKEN_ACCOUNT, deal, state
from tests.unit.agents.provider.test_provider_policy import manifest

KEY = LocalSigner(Secret(b"\x01" * 32))
OTHER = LocalSigner(Secret(b"\x02" * 32))
DOMAIN = Domain(1337, TOKEN_ACCOUNT)
DEAL_ID = DealId(b"\x07" * 32)
OPENED = Opened(Head(0, 0, Part.EXIT_CODE).pack(), b"\x09" * 32)


def signed(message: Any, key: LocalSigner = KEY) -> bytes:
    return by_own_key(key.sign_digest(DOMAIN.digest(message.struct_hash)))


# ---- salts


def test_salt__same_key_and_deal__is_the_same_and_no_other() -> None:
    """beh:J1 beh:C3 A lost database loses no salt; another key, chain or deal has others."""
    salts = Salts(KEY, DOMAIN)
    assert salts.of(DEAL_ID) == Salts(KEY, DOMAIN).of(DEAL_ID)
    others = {
        salts.of(DealId(b"\x08" * 32)),
        Salts(OTHER, DOMAIN).of(DEAL_ID),
        Salts(KEY, Domain(1, TOKEN_ACCOUNT)).of(DEAL_ID),
        Salts(KEY, Domain(1337, PROVIDER)).of(DEAL_ID),
    }
    assert len(others) == 4 and salts.of(DEAL_ID) not in others
    assert len(salts.of(DEAL_ID)) == 32 and "hidden" in repr(salts)


# ---- results


def run(**changes: Any) -> RunResult:
    found = RunResult(0, ExitClass.OK, b"out", b"err", {}, 1_234, 1, 5, 5, "wasmtime-1", FUEL_SCHEDULE)
    return replace(found, **changes)


def test_opened__counts_what_the_module_counts__and_units_only_where_they_are_priced() -> None:
    """beh:C3 beh:C7"""
    metered = manifest(metering={"kind": "fuel", "per": 100, "schedule": FUEL_SCHEDULE})
    free, units = opened_of(metered, deal(unit_price=0), run())
    assert (Head.unpack(free.head).units, units) == (0, 0)
    priced, units = opened_of(metered, deal(unit_price=3, max_units=5), run())
    assert (Head.unpack(priced.head).units, units) == (12, 12)
    assert opened_of(metered, deal(), run(stdout=b"other"))[0].content != free.content
    assert opened_of(metered, deal(), run(wall_ms=99, peak_memory=7))[0] == free
    failed = opened_of(metered, deal(), run(exit_code=3, exit_class=ExitClass.NONZERO))[0]
    assert Head.unpack(failed.head).exit_code == 3


def test_fuel__where_units_are_priced__ends_with_what_was_signed() -> None:
    """beh:C7 Protocol 3.5: a job that reaches its units has a valid, paid result."""
    metered = manifest(metering={"kind": "fuel", "per": 100, "schedule": FUEL_SCHEDULE})
    assert fuel_of(metered, deal(unit_price=0, max_units=1)) == metered.limits.fuel
    assert fuel_of(metered, deal(unit_price=1, max_units=7)) == 700
    assert fuel_of(metered, deal(unit_price=1, max_units=2**40)) == metered.limits.fuel
    assert fuel_of(manifest(), deal(unit_price=1, max_units=1)) == manifest().limits.fuel


def test_receipt__of_a_run__is_verified_by_anybody() -> None:
    opening = StoredOpening(OPENED, b"\x5a" * 32, Cid.of(b"data", Codec.DAG_PB), 0)
    made = deal(provider=KEY.address)
    receipt = receipt_of(
        DEAL_ID, made, b"\x05" * 32, run(), opening, isa="x86-64-v3", started_at=1, ended_at=2, signer=KEY
    )
    found = verify_receipt(
        receipt.to_bytes(), lambda message, signature: recover(personal_digest(message), signature),
        provider=KEY.address, deal=hex_of(DEAL_ID), result_digest=hex_of(OPENED.digest), data_id=str(opening.data_id),
    )  # fmt: skip
    assert found.units == 0 and found.exit_class is ExitClass.OK
    note = result_note(opening.data_id, Cid.of(b"receipt"), receipt, OPENED)
    assert "salt" not in note and hex_of(opening.salt) not in str(note)
    assert note["resultDigest"] == hex_of(OPENED.digest)


# ---- notes

DEAL = deal(creator=KEY.address)


def agreement(kind: str, signature: bytes) -> Any:
    return read_agreement(kind, {"signature": hex_of(signature)}, DEAL_ID, DEAL, OPENED.digest, DOMAIN)


def test_agreement__signed_by_the_creator__counts_as_what_it_is() -> None:
    accepted = agreement("acceptance", signed(Acceptance(DEAL_ID, OPENED.digest)))
    waived = agreement("waiver", signed(Waiver(deal_id=DEAL_ID, result_digest=OPENED.digest)))
    assert (accepted.kind, waived.kind) == (Agreement.ACCEPTANCE, Agreement.WAIVER)
    assert accepted.consent.proof is Proof.KEY and not accepted.consent.by_delegate


def test_agreement__not_what_it_claims__does_not_count() -> None:
    """flt:F33 Another key, digest, deal, chain or kind; malformed bodies."""
    right = Acceptance(DEAL_ID, OPENED.digest)
    assert agreement("acceptance", signed(right, OTHER)) is None
    assert agreement("waiver", signed(right)) is None
    assert agreement("acceptance", signed(Acceptance(DEAL_ID, b"\x01" * 32))) is None
    assert agreement("acceptance", signed(Acceptance(DealId(b"\x01" * 32), OPENED.digest))) is None
    assert agreement("result", signed(right)) is None
    assert agreement("acceptance", b"") is None  # an approval on chain needs no note
    for body in (None, 7, "x", [], {}, {"signature": 1}, {"signature": "0x0"}, {"signature": "00" * 66}, {"signature": "0x" + "0" * 20_000}):
        assert read_agreement("acceptance", body, DEAL_ID, DEAL, OPENED.digest, DOMAIN) is None


def test_agreement__of_a_delegate_or_a_contract__still_needs_the_chain() -> None:
    right = Acceptance(DEAL_ID, OPENED.digest)
    found = agreement("acceptance", by_delegate(OTHER.address, signed(right, OTHER)))
    assert found is not None and found.consent.by_delegate
    found = agreement("acceptance", b"\x02" + b"anything")
    assert found is not None and found.consent.proof is Proof.CONTRACT


def test_closing__signed_by_the_creator__is_read_and_others_are_not() -> None:
    terms = Closing(DEAL_ID, 5, 2**90, 99)
    body = {"toCreator": "5", "toProvider": str(2**90), "expiry": 99, "signature": hex_of(signed(terms))}
    found = read_closing(body, DEAL_ID, DEAL, DOMAIN)
    assert found is not None and (found.to_creator, found.to_provider, found.expiry) == (5, 2**90, 99)
    for change in ({"toCreator": 6}, {"toProvider": -1}, {"toProvider": 2**96}, {"expiry": True}, {"expiry": None},
                   {"toCreator": "5.0"}, {"signature": hex_of(signed(terms, OTHER))}, {"signature": "0x"}):  # fmt: skip
        assert read_closing(body | change, DEAL_ID, DEAL, DOMAIN) is None
    assert read_closing([], DEAL_ID, DEAL, DOMAIN) is None


# ---- calldata of openings


def pair(number: int) -> Pair:
    module = ModuleTerms(PUBLISHER, b"\x01" * 32, b"\x02" * 32, ZERO, 5, PUBLISHER, True, NOBODY, 0, 9, 1)
    job = JobOffer(
        KEY.address, module.id, number.to_bytes(32, "big"), TOKEN_ACCOUNT, COIN, 3, 1, 2, 3, 0, 0, 0, 60, 20, 10_000, 0, ZERO,
        PUBLISHER, 10, NOBODY, 999, number,
    )  # fmt: skip
    resource = ResourceOffer(
        OTHER.address, TOKEN_ACCOUNT, COIN, 0, 9, 1_000, 2, 3, 0, 0, 0, ZERO, 20_000, 5, 80, ZERO, NOBODY, UNLIMITED_VOLUME,
        999, 4,
    )  # fmt: skip
    return Pair(job, b"\x00" + b"j" * 65, resource, b"\x00" + b"r" * 65, module, UNVERIFIED)


class Chain:
    """Answers one transaction, and counts the questions."""

    def __init__(self, data: bytes) -> None:
        self.data, self.asked = data, 0

    def request(self, method: str, *params: Any) -> Any:
        self.asked += 1
        return {"input": hex_of(self.data)}


def contracts(*names: str) -> Any:
    found = {name: SimpleNamespace(abi=Abi.load(name)) for name in names}
    return found


CORE = Abi.load("Lilypad")
PAIRS = [pair(n) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "data",
    [
        CORE.function("open").encode(opening_of(PAIRS)),
        CORE.function("openBatch").encode(openings_of(PAIRS)),
        CORE.function("openAndSubmit").encode(opening_of(PAIRS), [1, 2, 3]),
        Abi.load("LilypadBundler").function("depositAndOpenBatch").encode([], openings_of(PAIRS)),
    ],
    ids=["open", "openBatch", "openAndSubmit", "depositAndOpenBatch"],
)
def test_opening__from_its_calldata__gives_job_offer_and_terms(data: bytes) -> None:
    """beh:C12 What a decline needs is on the chain, whoever opened the deal."""
    reader = OpeningReader(Chain(data), contracts("Lilypad", "LilypadBundler"))  # type: ignore[arg-type]
    for wanted in PAIRS:
        made = deal_from_offers(wanted.job, wanted.resource, wanted.module, wanted.pool)
        found = reader.read(made, b"\x01" * 32)
        assert found is not None
        assert (found.job, found.terms, found.job_words) == (wanted.job, wanted.module, wanted.job.words())


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x02", b"\xff" * 400, CORE.function("open").encode(opening_of(PAIRS))[:200]]
)
def test_opening__calldata_of_something_else__gives_nothing(data: bytes) -> None:
    made = deal_from_offers(PAIRS[0].job, PAIRS[0].resource, PAIRS[0].module, PAIRS[0].pool)
    assert OpeningReader(Chain(data), contracts("Lilypad")).read(made, b"\x01" * 32) is None  # type: ignore[arg-type]


def test_opening__told_by_somebody__counts_only_when_the_record_proves_it() -> None:
    """flt:F33"""
    made = deal_from_offers(PAIRS[0].job, PAIRS[0].resource, PAIRS[0].module, PAIRS[0].pool)
    assert opened_from(PAIRS[0].job, PAIRS[0].module, made) is not None
    assert opened_from(PAIRS[1].job, PAIRS[0].module, made) is None
    assert opened_from(PAIRS[0].job, replace(PAIRS[0].module, royalty_bps=6), made) is None


def test_terms__from_words__are_the_same_terms() -> None:
    terms = PAIRS[0].module
    assert ModuleTerms.from_words(terms.words) == terms
    words = list(terms.words)
    for at, bit in ((1, 201), (1, 255), (2, 160)):
        with pytest.raises(FieldInvalid):
            ModuleTerms.from_words([*words[:at], (1 << bit).to_bytes(32, "big"), *words[at + 1 :]])
    with pytest.raises(FieldInvalid):
        ModuleTerms.from_words(words[:-1])


# ---- income


class Events:
    """A cursor that holds one event."""

    def __init__(self, args: dict[str, Any] | None) -> None:
        self.args = args

    def events(self, name: str, *, topic1: bytes) -> Iterator[Any]:
        return iter([] if self.args is None else [SimpleNamespace(args=self.args)])


@pytest.mark.parametrize(
    ("status", "args", "expected"),
    [
        (Status.ACCEPTED, None, 5),
        (Status.MEDIATION_ACCEPTED, {"gross": 5, "claim": 2}, 3),
        (Status.MEDIATION_REJECTED, None, -2 * COIN),
        (Status.NO_FAULT, {"collateral": 2 * COIN - 7}, -7),
        (Status.DECLINED, {"compensation": 9}, -9),
        (Status.DECLINED, None, -COIN // 100),
        (Status.CLOSED_BY_AGREEMENT, {"toProvider": 2 * COIN + 4}, 4),
        (Status.TIMED_OUT, {"penalty": 9, "premium": 2, "claim": 1, "bounty": 3, "keeper": PUBLISHER}, -12),
        (Status.TIMED_OUT, {"penalty": 9, "premium": 2, "claim": 1, "bounty": 3, "keeper": PROVIDER}, -9),
        (Status.TIMED_OUT, None, -COIN),
    ],
)
def test_income__of_every_ending__is_the_change_of_the_account(status: Status, args: Any, expected: int) -> None:
    """beh:J26"""
    entry = BookEntry(DEAL_ID, deal(), state(status), 1, 1, b"", 2, 2, b"", gross=5 if status is Status.ACCEPTED else None)
    assert income_of(entry, Events(args), PROVIDER) == expected  # type: ignore[arg-type]


# ---- the store


@pytest.fixture
def store() -> ProviderStore:
    return ProviderStore(Database.open(None))


def stored(content: bytes = b"\x09" * 32) -> StoredResult:
    opening = StoredOpening(Opened(OPENED.head, content), b"\x03" * 32, Cid.of(b"x", Codec.DAG_PB), 2**63)
    return StoredResult(opening, Cid.of(b"receipt"), b"receipt", 5)


def test_store__second_result_of_a_deal__never_replaces_the_first(store: ProviderStore) -> None:
    """beh:J2 beh:C3 One deal has one result, whatever a second run gives."""
    assert store.add_result(DEAL_ID, stored()) == stored()
    assert store.add_result(DEAL_ID, stored(b"\x08" * 32)) == stored()
    assert store.result(DEAL_ID) == stored() and store.kept() == [DEAL_ID]
    store.mark_published(DEAL_ID)
    store.mark_released(DEAL_ID)
    found = store.result(DEAL_ID)
    assert found is not None and found.published and found.released and store.kept() == []


def test_store__waiver_after_an_acceptance__wins_and_not_the_other_way(store: ProviderStore) -> None:
    store.add_agreement(DEAL_ID, Agreement.ACCEPTANCE, b"a")
    store.add_agreement(DEAL_ID, Agreement.WAIVER, b"w")
    store.add_agreement(DEAL_ID, Agreement.ACCEPTANCE, b"b")
    assert store.agreement(DEAL_ID) == (Agreement.WAIVER, b"w")


def test_store__actions_and_offers__are_found_again(store: ProviderStore) -> None:
    with store.database.transaction() as sql:
        store.begin(sql, [DEAL_ID, DealId(b"\x01" * 32)], Action.SUBMIT, "k")
    assert {action for _, action in store.under_way()["k"]} == {Action.SUBMIT}
    store.finish("k")
    assert store.under_way() == {}
    offer = StandingOffer("0x01", "http://a", "label", 9)
    store.add_offer(offer)
    assert store.offers() == [offer]
    store.remove_offer(offer)
    assert store.offers() == []


# ---- threads


def test_threads__task_that_raises__is_reported_and_the_next_one_runs() -> None:
    import threading

    seen, done, failures = [], threading.Event(), []
    threads = Threads(1, "test", failures.append)

    def work(number: int) -> None:
        if number == 1:
            raise ValueError("one")
        seen.append(number)
        if number == 2:
            done.set()

    for number in range(3):
        assert threads.submit(work, number)
    assert done.wait(5)
    assert seen == [0, 2] and [str(f) for f in failures] == ["one"]
    assert threads.close(5)
    assert not threads.submit(work, 3)
