"""Content identifiers: one spelling, two codecs, one hash."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID as OracleCid

from lilypad_agents.content.cid import Cid, Codec
from lilypad_agents.content.errors import BlockMismatch, InvalidCid

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
DIGESTS = st.binary(min_size=32, max_size=32)
CODECS = st.sampled_from(list(Codec))


@given(DIGESTS, CODECS)
def test_format__any_digest__equals_the_oracle(digest: bytes, codec: Codec) -> None:
    name = {Codec.RAW: "raw", Codec.DAG_PB: "dag-pb"}[codec]
    oracle = OracleCid("base32", 1, name, ("sha2-256", digest))

    assert str(Cid(codec, digest)) == str(oracle)
    assert bytes(Cid(codec, digest)) == bytes(oracle)


@given(DIGESTS, CODECS)
def test_parse__own_text_and_bytes__gives_the_same_cid(digest: bytes, codec: Codec) -> None:
    cid = Cid(codec, digest)

    assert Cid.parse(str(cid)) == cid
    assert Cid.from_bytes(bytes(cid)) == cid


@given(st.text(max_size=70))
def test_parse__any_text__gives_its_only_spelling_or_refuses(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except InvalidCid:
        return
    assert str(cid) == text


@given(st.binary(min_size=30, max_size=40))
def test_from_bytes__any_bytes__round_trip_or_refuse(data: bytes) -> None:
    try:
        cid = Cid.from_bytes(data)
    except InvalidCid:
        return
    assert bytes(cid) == data


def _with_base(base: str, version: int, codec: str, hash_name: str) -> str:
    digest = hashlib.new(hash_name.replace("sha2-", "sha"), b"x").digest()
    return str(OracleCid(base, version, codec, (hash_name, digest)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "starts with"),
        ("b", "characters"),
        (EMPTY.upper(), "starts with"),
        ("b" + EMPTY[1:].upper(), "lower-case"),
        (EMPTY[:-1], "characters"),
        (EMPTY + "a", "characters"),
        (EMPTY + "=", "characters"),
        (EMPTY[:-1] + "1", "lower-case"),
        (EMPTY[:-1] + "v", "must be zero"),
        (EMPTY[:-1] + "\u0131", "lower-case"),
        (" " + EMPTY[1:], "starts with"),
        (EMPTY[:-1] + "\n", "lower-case"),
        ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "CIDv0"),
        (_with_base("base58btc", 1, "raw", "sha2-256"), "starts with"),
        (_with_base("base16", 1, "raw", "sha2-256"), "starts with"),
        (_with_base("base32", 1, "dag-cbor", "sha2-256"), "codec"),
        (_with_base("base32", 1, "raw", "sha2-512"), "characters"),
    ],
)
def test_parse__another_spelling_version_codec_or_hash__is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidCid, match=reason):
        Cid.parse(text)


def test_parse__another_hash_of_the_same_length__is_refused() -> None:
    other = OracleCid("base32", 1, "raw", ("sha3-256", hashlib.sha3_256(b"x").digest()))
    with pytest.raises(InvalidCid, match="another hash"):
        Cid.parse(str(other))


def test_parse__something_that_is_no_text__is_refused() -> None:
    with pytest.raises(InvalidCid, match="is a text"):
        Cid.parse(EMPTY.encode())  # type: ignore[arg-type]


def test_from_bytes__cid_version_0__is_refused() -> None:
    with pytest.raises(InvalidCid, match="CIDv0"):
        Cid.from_bytes(b"\x12\x20" + bytes(32))


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytearray(32), "x" * 32])
def test_new__digest_that_is_not_32_bytes__is_refused(digest: object) -> None:
    with pytest.raises(InvalidCid, match="32 bytes"):
        Cid.raw(digest)  # type: ignore[arg-type]


def test_new__unknown_codec__is_refused() -> None:
    with pytest.raises(InvalidCid, match="raw or dag-pb"):
        Cid(0x71, bytes(32))  # type: ignore[arg-type]


def test_verify__other_bytes__names_what_was_found() -> None:
    cid = Cid.of(b"moo")
    cid.verify(b"moo")

    with pytest.raises(BlockMismatch) as caught:
        cid.verify(b"mop")

    assert caught.value.figures == {"cid": str(cid), "found": hashlib.sha256(b"mop").hexdigest(), "size": 3}


def test_cid__once_made__does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cid.of(b"").digest = bytes(32)  # type: ignore[misc]


def test_digest__raw_and_dag_pb__differ_only_in_the_codec() -> None:
    digest = hashlib.sha256(b"").digest()
    assert str(Cid.raw(digest)) == EMPTY
    assert Cid.raw(digest) != Cid.dag_pb(digest)
    assert str(Cid.dag_pb(digest)).startswith("bafybei")
