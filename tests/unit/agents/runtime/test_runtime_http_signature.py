"""Signed requests: what is covered cannot change, what is repeated is refused, what is late says what time it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.errors import (
    RequestElsewhere,
    RequestForged,
    RequestReplayed,
    RequestStale,
    RequestUnsigned,
)
from lilypad_agents.agents.runtime.http_signature import NonceStore, ReceivedRequest, Signed, sign, verify
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId

NOW = 1_700_000_000
HERE = frozenset({"solver.example:8100"})
ALICE = signer_from_test_mnemonic(1, ChainId(1337))
BOB = signer_from_test_mnemonic(2, ChainId(1337))


def request(
    method: str = "POST",
    url: str = "http://solver.example:8100/v1/job-offers?a=b",
    body: bytes = b"{}",
    signer: LocalSigner = ALICE,
    created: int = NOW,
    **headers: str,
) -> ReceivedRequest:
    made = httpx.Request(method, url, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    sign(made, signer, created)
    return seen(made)


def seen(made: httpx.Request) -> ReceivedRequest:
    path, _, query = made.url.raw_path.decode().partition("?")
    headers = [(name.lower(), value) for name, value in made.headers.multi_items()]
    return ReceivedRequest(made.method, made.url.scheme, path, query, headers)


def checked(received: ReceivedRequest, now: int = NOW, nonces: NonceStore | None = None) -> Signed:
    return verify(received, now=now, nonces=NonceStore() if nonces is None else nonces, served_as=HERE)


def with_header(received: ReceivedRequest, name: str, value: str | None) -> ReceivedRequest:
    kept = [(key, old) for key, old in received.headers if key != name]
    return replace(received, headers=kept if value is None else [*kept, (name, value)])


def test_verify__own_signature__names_account_and_digest() -> None:
    """beh:I2"""
    found = checked(request())
    assert found.account == ALICE.address
    assert found.digest.hex() == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha-256 of {}


def test_sign__signature__is_what_a_wallet_would_make() -> None:
    """The base is signed by EIP-191 personal_sign, so that wallets can sign requests."""
    made = httpx.Request("GET", "http://solver.example:8100/v1/deals")
    sign(made, ALICE, NOW, nonce="0123456789abcdef")
    parameters = made.headers["signature-input"].removeprefix("lilypad=")
    base = (
        '"@method": GET\n"@authority": solver.example:8100\n"@path": /v1/deals\n"@query": ?\n'
        f'"content-digest": {http_signature.EMPTY_DIGEST}\n"@signature-params": {parameters}'
    )
    key = bytes(ALICE._key.secret)
    wallet = Account.sign_message(encode_defunct(text=base), key).signature
    import base64

    assert base64.b64decode(made.headers["signature"][len("lilypad=:") : -1]) == bytes(wallet)


Change = Callable[[ReceivedRequest], ReceivedRequest]
ALTERED: dict[str, Change] = {
    "method": lambda found: replace(found, method="PUT"),
    "path": lambda found: replace(found, path="/v1/resource-offers"),
    "query": lambda found: replace(found, query="a=c"),
    "no query": lambda found: replace(found, query=""),
    "body digest": lambda found: with_header(found, "content-digest", http_signature.content_digest(b"other")),
    "scope": lambda found: with_header(found, "lilypad-scope", "public"),
    "key": lambda found: with_header(
        found, "signature-input", dict(found.headers)["signature-input"].replace(ALICE.address, BOB.address)
    ),
    "time": lambda found: with_header(
        found, "signature-input", dict(found.headers)["signature-input"].replace(str(NOW), str(NOW + 1))
    ),
    "digest header twice": lambda found: replace(
        found, headers=[*found.headers, ("content-digest", dict(found.headers)["content-digest"])]
    ),
}


@pytest.mark.parametrize("what", ALTERED)
def test_verify__covered_part_altered__is_refused(what: str) -> None:
    """beh:I2"""
    received = request(lilypad_scope="offer 0x" + "11" * 32)
    checked(received)
    with pytest.raises(RequestForged):
        checked(ALTERED[what](received))


def test_verify__scope_added_but_not_covered__is_refused() -> None:
    """A proxy that adds a header that means something must not be believed. beh:I2"""
    received = request()
    with pytest.raises(RequestUnsigned, match="lilypad-scope"):
        checked(with_header(received, "lilypad-scope", "public"))


def test_verify__same_request_again__is_a_replay() -> None:
    """beh:I2"""
    received, nonces = request(), NonceStore()
    checked(received, nonces=nonces)
    with pytest.raises(RequestReplayed):
        checked(received, nonces=nonces)


def test_verify__replay_under_another_account__cannot_take_its_nonce() -> None:
    nonces = NonceStore()
    for signer in (ALICE, BOB):
        made = httpx.Request("GET", "http://solver.example:8100/v1/deals")
        sign(made, signer, NOW, nonce="same-nonce-1234")
        checked(seen(made), nonces=nonces)


@pytest.mark.parametrize("off", [-61, 61, 7_200, -7_200])
def test_verify__clock_too_far_off__answers_with_the_servers_time(off: int) -> None:
    """beh:I2"""
    with pytest.raises(RequestStale) as caught:
        checked(request(created=NOW + off))
    assert caught.value.figures["time"] == NOW


@pytest.mark.parametrize("off", [-60, 0, 60])
def test_verify__clock_within_the_window__passes(off: int) -> None:
    assert checked(request(created=NOW + off)).created == NOW + off


def test_verify__signed_for_another_host__is_refused() -> None:
    """A hostile solver must not be able to hand a request on to another. beh:I2"""
    with pytest.raises(RequestElsewhere):
        checked(request(url="http://evil.example:8100/v1/job-offers"))


def test_verify__host_rewritten_on_the_way__is_forged() -> None:
    received = request(url="http://evil.example:8100/v1/job-offers")
    with pytest.raises(RequestForged):
        checked(with_header(received, "host", "solver.example:8100"))


def test_verify__default_port_named_or_not__is_the_same_host() -> None:
    received = request(url="http://solver.example:80/v1/info")
    assert verify(received, now=NOW, nonces=NonceStore(), served_as={"solver.example"}).account == ALICE.address


@pytest.mark.parametrize("missing", ["signature", "signature-input"])
def test_verify__part_of_the_signature_missing__is_unsigned(missing: str) -> None:
    """beh:I1"""
    with pytest.raises(RequestUnsigned):
        checked(with_header(request(), missing, None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eip191-secp256k1", "ecdsa-p256-sha256"),
        ('"content-digest"', '"content-type"'),
        ('"@method" ', ""),
        ("lilypad=", "other="),
        (";created=", ";expires="),
    ],
)
def test_verify__input_of_another_form__is_unsigned(old: str, new: str) -> None:
    received = request()
    with pytest.raises(RequestUnsigned):
        checked(with_header(received, "signature-input", dict(received.headers)["signature-input"].replace(old, new)))


def test_verify__component_named_twice__is_unsigned() -> None:
    received = request()
    given = dict(received.headers)["signature-input"].replace('"@method"', '"@method" "@method"')
    with pytest.raises(RequestUnsigned):
        checked(with_header(received, "signature-input", given))


def test_verify__malleable_signature__is_refused() -> None:
    """The other signature (n - s) of the same message is no second valid request."""
    import base64

    received = request()
    raw = base64.b64decode(dict(received.headers)["signature"][len("lilypad=:") : -1])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    flipped = raw[:32] + (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big") + bytes([55 - raw[64]])
    with pytest.raises(RequestForged):
        checked(with_header(received, "signature", f"lilypad=:{base64.b64encode(flipped).decode()}:"))


@given(st.text(max_size=200), st.text(max_size=200))
def test_verify__anything_for_a_signature__is_an_answer_not_a_crash(given_: str, proof: str) -> None:
    received = with_header(with_header(request(), "signature-input", given_), "signature", proof)
    with pytest.raises((RequestUnsigned, RequestForged)):
        checked(received)


# ---- nonces


def test_nonces__older_than_the_start__are_stale() -> None:
    """After a restart the nonces are gone; what was signed before it is refused."""
    with pytest.raises(RequestStale):
        checked(request(created=NOW - 5), nonces=NonceStore(since=NOW - 4))


def test_nonces__beyond_the_bound__oldest_seconds_close_and_memory_stays() -> None:
    """flt:F35"""
    nonces = NonceStore(most=100)
    for number in range(1_000):
        nonces.take("0xA", f"nonce-{number}", NOW - 59 + number // 20, NOW)
    assert len(nonces) <= 100
    with pytest.raises(RequestStale):
        nonces.take("0xA", "nonce-0", NOW - 59, NOW)


def test_nonces__after_the_window__are_forgotten() -> None:
    nonces = NonceStore()
    nonces.take("0xA", "one", NOW, NOW)
    nonces.take("0xA", "two", NOW + 200, NOW + 200)
    assert len(nonces) == 1


def test_sign__stream_without_digest__is_not_signed_blindly() -> None:
    def chunks():  # type: ignore[no-untyped-def]
        yield b"x"

    with pytest.raises(httpx.RequestNotRead):
        sign(httpx.Request("PUT", "http://solver.example:8100/", content=chunks()), ALICE, NOW)
