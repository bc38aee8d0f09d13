"""Structs: hashes as wallets compute them, JSON that refuses whatever is not exactly right."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol import consent, deal, offers, terms
from lilypad_agents.protocol.consent import Domain, typed_data
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import checksummed
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.structs import Member, StructType, TypedStruct
from tests.support.values import account, structs

STRUCTS = [
    offers.JobOffer,
    offers.ResourceOffer,
    deal.Deal,
    terms.ModuleTerms,
    terms.PoolTerms,
    consent.Result,
    consent.Acceptance,
    consent.Waiver,
    consent.Closing,
]
PACKED = [deal.Deal, terms.ModuleTerms, terms.PoolTerms]  # nobody signs these: their hash is over dense words
SIGNED = [cls for cls in STRUCTS if cls not in PACKED]
MESSAGES = [cls for cls in STRUCTS if cls is not terms.PoolTerms and cls is not consent.Waiver]


def values_of(cls: type[TypedStruct]) -> st.SearchStrategy[TypedStruct]:
    """Any instance; pools name a strategy, the waiver has but one statement."""
    if cls is terms.PoolTerms:
        return structs(cls, strategy=st.just(account(1)))
    return structs(cls, statement=st.just(consent.WAIVER_STATEMENT)) if cls is consent.Waiver else structs(cls)


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
def test_struct__its_type_string__names_exactly_its_fields_in_order(cls: type[TypedStruct]) -> None:
    assert [member.attribute for member in cls.TYPE.members] == [field.name for field in dataclasses.fields(cls)]
    assert cls.TYPE.name == cls.__name__


def packed_document(value: TypedStruct, domain: Domain) -> dict[str, object]:
    """Typed data whose members are the dense words."""

    def struct(text: str) -> list[dict[str, str]]:
        return [dict(zip(("type", "name"), member.split(" "), strict=True)) for member in text.split(",")]

    def named(fields: list[dict[str, str]], words: Sequence[object]) -> dict[str, object]:
        return {field["name"]: word for field, word in zip(fields, words, strict=True)}

    words = ["0x" + word.hex() for word in value.words]
    name = type(value).__name__
    if isinstance(value, terms.ModuleTerms):
        dense = "bytes32 publisherWord,bytes32 royaltyWord,bytes32 strategyWord"
        types = {name: struct(dense + ",bytes32 nameHash,bytes32 manifest,bytes32 parent")}
    elif isinstance(value, terms.PoolTerms):
        types = {name: struct("bytes32 strategyWord,bytes32 tokenWord,bytes32 limits,bytes32 members,bytes32 note")}
    else:
        assert isinstance(value, deal.Deal)
        types = {
            "Accrual": struct("address token,address solver,address strategy,bytes32 module,bytes32 pool"),
            "Details": struct(
                "bytes32 solver,bytes32 strategy,bytes32 publisher,bytes32 resourceOfferHash,bytes32 inputs,bytes32 jobOfferHash"
            ),
            name: struct(
                "bytes32 creator,bytes32 provider,bytes32 token,bytes32 numbers,Accrual accrual,Details details"
            ),
        }
        accrual = named(types["Accrual"], (value.token, value.solver, value.strategy, *words[4:6]))
        words = [*words[:4], accrual, named(types["Details"], words[6:])]
    base = typed_data(consent.Result(bytes(32), 0), domain)
    types["EIP712Domain"] = base["types"]["EIP712Domain"]
    return {"types": types, "primaryType": name, "domain": base["domain"], "message": named(types[name], words)}


@pytest.mark.parametrize("cls", PACKED, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_digest__of_dense_words__is_an_eip_712_digest(cls: type[TypedStruct], data: st.DataObject) -> None:
    """beh:B3: ids are digests or struct hashes of typed data, by an independent implementation."""
    value = data.draw(values_of(cls))
    domain = Domain(data.draw(st.integers(1, 2**64)), account(9))
    document = json.loads(json.dumps(packed_document(value, domain)))
    assert _hash_eip191_message(encode_typed_data(full_message=document)) == domain.digest(value.struct_hash)


@pytest.mark.parametrize("cls", SIGNED, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_digest__of_typed_data__equals_what_a_wallet_signs(cls: type[TypedStruct], data: st.DataObject) -> None:
    """beh:B3: the digest of our encoding is that of an independent EIP-712 implementation over the typed data."""
    value = data.draw(values_of(cls))
    domain = Domain(data.draw(st.integers(1, 2**64)), account(9))
    document = json.loads(json.dumps(typed_data(value, domain)))
    assert _hash_eip191_message(encode_typed_data(full_message=document)) == domain.digest(value.struct_hash)


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_json__there_and_back__is_the_same_value(cls: type[TypedStruct], data: st.DataObject) -> None:
    value = data.draw(values_of(cls))
    assert cls.from_json(json.loads(json.dumps(value.to_json()))) == value


@given(value=structs(JobOffer), data=st.data())
def test_struct_hash__of_two_values_that_differ_in_one_field__differ(value: JobOffer, data: st.DataObject) -> None:
    """inv:I31 for offers."""
    member = data.draw(st.sampled_from(JobOffer.TYPE.members))
    other = dataclasses.replace(value, **{member.attribute: getattr(data.draw(structs(JobOffer)), member.attribute)})
    assert (other == value) == (other.struct_hash == value.struct_hash)


def test_json__with_decimal_strings_or_integers__reads_the_same(job: JobOffer) -> None:
    document = job.to_json()
    assert document["maxPrice"] == str(job.max_price)
    assert JobOffer.from_json(document | {"maxPrice": job.max_price, "nonce": str(job.nonce)}) == job


def mistakes() -> list[tuple[str, Any]]:
    lower = checksummed("0x" + "ab" * 20).lower()
    return [
        ("maxPrice", -1), ("maxPrice", 2**96), ("maxPrice", str(2**96)), ("maxPrice", "01"), ("maxPrice", "1e3"),
        ("maxPrice", " 1"), ("maxPrice", 1.0), ("maxPrice", True), ("maxPrice", None), ("maxPrice", "1" * 5_000),
        ("maxPrice", "٣"), ("nonce", 2**32), ("creator", lower), ("creator", "0x12"), ("creator", 5),
        ("creator", "0x" + "zz" * 20), ("inputs", "0x" + "0" * 63), ("inputs", "0" * 64), ("inputs", b""),
        ("inputs", "0x" + "0" * 66), ("gpuCount", 2**16), ("expiry", 2**40), ("flags", [1]), ("token", "0X" + "0" * 40),
        ("token", "0x" + "0 " * 20), ("token", "0x" + "0" * 40 + "\n"), ("token", "0x" * 1_000_000), ("inputs", "0x" + "0" * 64 + "\n"),
    ]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), mistakes())
def test_from_json__value_that_does_not_fit__is_refused_by_name(job: JobOffer, field: str, value: Any) -> None:
    with pytest.raises(FieldInvalid, match=re.escape(f"JobOffer.{field}")) as refused:
        JobOffer.from_json(job.to_json() | {field: value})
    assert refused.value.figures["field"] == field


def test_from_json__missing_field__is_named(job: JobOffer) -> None:
    for member in JobOffer.TYPE.members:
        document = job.to_json()
        del document[member.name]
        with pytest.raises(FieldInvalid, match=f"JobOffer.{member.name}: is missing"):
            JobOffer.from_json(document)


def test_from_json__unknown_field__is_named(job: JobOffer) -> None:
    with pytest.raises(FieldInvalid, match="tip: is not a field"):
        JobOffer.from_json(job.to_json() | {"tip": 1})
    with pytest.raises(FieldInvalid, match="max_price: is not a field"):
        JobOffer.from_json(job.to_json() | {"max_price": 1})


@pytest.mark.parametrize("document", [None, [], "offer", 3])
def test_from_json__no_object__is_refused(document: Any) -> None:
    with pytest.raises(FieldInvalid, match="must be a JSON object"):
        JobOffer.from_json(document)


@pytest.mark.parametrize(
    ("field", "value"), [("max_price", 2**96), ("max_price", -1), ("nonce", True), ("creator", "0xnobody"), ("inputs", b"1")]
)
def test_offer__made_with_a_value_out_of_range__does_not_come_to_be(job: JobOffer, field: str, value: Any) -> None:
    with pytest.raises(FieldInvalid):
        dataclasses.replace(job, **{field: value})


@pytest.mark.parametrize("text", ["Result", "Result(bytes32 x", "Result(Other x)", "Result(int256 x)", "(bytes32 x)"])
def test_struct_type__malformed_type_string__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        StructType.parse(text)


def test_member__names_in_capitals_and_digits__become_snake_case() -> None:
    assert Member.parse("uint96 maxPrice").attribute == "max_price"
    assert Member.parse("bytes32 resourceOfferHash").attribute == "resource_offer_hash"


def test_pool_terms__without_strategy__must_be_all_zero() -> None:
    """What would be Unverified must not look like a pool with terms."""
    assert terms.UNVERIFIED.id == bytes(32)
    for member in terms.PoolTerms.TYPE.members[1:]:
        value = {"address": account(1), "bytes32": bytes([1]) * 32}.get(member.type, 1)
        with pytest.raises(FieldInvalid, match="strategy"):
            dataclasses.replace(terms.UNVERIFIED, **{member.attribute: value})
