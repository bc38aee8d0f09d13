"""Keys: where they may come from, and that a secret shows nowhere."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.chain.errors import KeyUnusable
from lilypad_agents.chain.keys import (
    LocalSigner,
    Secret,
    signer_from_ape,
    signer_from_keystore,
    TEST_MNEMONIC,
    signer_from_test_mnemonic,
    write_keystore,
)
from lilypad_agents.chain.transaction import FeeMarketTransaction
from lilypad_agents.chain.types import ChainId, Wei

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PASSWORD = b"planted password \xc3\xa9"


@pytest.fixture(scope="module")
def keystore_text() -> str:
    return json.dumps(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=10))


@pytest.fixture
def keystore(tmp_path: Path, keystore_text: str) -> Path:
    return private(tmp_path / "key.json", keystore_text.encode())


@pytest.fixture
def password(tmp_path: Path) -> Path:
    return private(tmp_path / "password", PASSWORD + b"\nsecond line\n")


def private(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_keystore__right_password__signs_as_its_address(keystore: Path, password: Path) -> None:
    """beh:J24"""
    signer = signer_from_keystore(keystore, password)
    assert signer.address == ADDRESS
    message = encode_defunct(b"hello")
    signature = signer.sign_digest(_hash_eip191_message(message))
    assert len(signature) == 65 and signature[64] in (27, 28)
    assert Account.recover_message(message, signature=signature) == ADDRESS


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602, 0o610])
@pytest.mark.parametrize("which", ["key", "password"])
def test_keystore__file_open_to_others__refused_with_the_remedy(
    keystore: Path, password: Path, mode: int, which: str
) -> None:
    """flt:F39"""
    path = keystore if which == "key" else password
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match=f"by others .mode {mode:03o}.") as caught:
        signer_from_keystore(keystore, password)
    assert f"chmod 600 {path}" in caught.value.way_out


def test_keystore__missing_folder_or_file__refused(keystore: Path, password: Path, tmp_path: Path) -> None:
    """flt:F39"""
    for key, word in ((tmp_path / "none", password), (keystore, tmp_path / "none"), (tmp_path, password)):
        with pytest.raises(KeyUnusable):
            signer_from_keystore(key, word)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"version": 3}', b'{"version": 3, "crypto": {}}', KEY.hex().encode()]
)
def test_keystore__no_keystore__refused_without_quoting_it(tmp_path: Path, password: Path, content: bytes) -> None:
    """flt:F39 beh:L17 A raw key in the file is not accepted and not shown."""
    path = private(tmp_path / "bad.json", content)
    with pytest.raises(KeyUnusable) as caught:
        signer_from_keystore(path, password)
    assert KEY.hex() not in full_trace(caught.value)


@pytest.mark.parametrize("wrong", [b"", b"planted wrong one", PASSWORD + b" "])
def test_keystore__wrong_password__refused_and_secret_not_shown(keystore: Path, tmp_path: Path, wrong: bytes) -> None:
    """flt:F39 beh:L17 Neither the message, nor any chained exception, nor a dump of the frames' variables shows it."""
    file = private(tmp_path / "file", wrong)
    with pytest.raises(KeyUnusable, match="does not open the key file") as caught:
        signer_from_keystore(keystore, file)
    assert caught.value.__context__ is None
    if wrong:
        assert wrong.decode().split()[0] not in full_trace(caught.value)


def full_trace(error: BaseException) -> str:
    """What a crash dump with local variables of our own frames would hold."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames.stack = traceback.StackSummary.from_list([f for f in frames.stack if "lilypad_agents" in f.filename])
    return "".join(frames.format())


def test_keystore__address_of_another_key__refused(keystore: Path, password: Path) -> None:
    document = json.loads(keystore.read_text())
    document["address"] = "00" * 20
    with pytest.raises(KeyUnusable, match="another address"):
        signer_from_keystore(private(keystore, json.dumps(document).encode()), password)


def test_ape__alias__opens_the_file_of_ape(tmp_path: Path, keystore_text: str, password: Path) -> None:
    """beh:J24 An Ape account alias."""
    private(tmp_path / "accounts" / "me.json", keystore_text.encode())
    assert signer_from_ape(tmp_path, "me", password).address == ADDRESS
    with pytest.raises(KeyUnusable, match="no Ape account other"):
        signer_from_ape(tmp_path, "other", password)


@pytest.mark.parametrize("alias", ["../me", "a/b", "", ".hidden", "a\0b", "x" * 65])
def test_ape__alias_with_a_path__refused(tmp_path: Path, password: Path, alias: str) -> None:
    with pytest.raises(KeyUnusable, match="letters"):
        signer_from_ape(tmp_path, alias, password)


@pytest.mark.parametrize("chain", [1337, 31337])
def test_mnemonic__local_chain__known_accounts(chain: int) -> None:
    assert signer_from_test_mnemonic(0, ChainId(chain)).address == ADDRESS
    assert signer_from_test_mnemonic(1, ChainId(chain)).address == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    Account.enable_unaudited_hdwallet_features()
    reference = Account.from_mnemonic(TEST_MNEMONIC, account_path="m/44'/60'/0'/0/417")
    assert signer_from_test_mnemonic(417, ChainId(chain)).address == reference.address


@pytest.mark.parametrize("chain", [1, 11155111, 0, 1338])
def test_mnemonic__any_other_chain__refused(chain: int) -> None:
    """beh:J24 Raw keys work only on the local chain."""
    with pytest.raises(KeyUnusable, match="public"):
        signer_from_test_mnemonic(0, ChainId(chain))


@pytest.mark.parametrize("show", [repr, str, lambda s: f"{s!r:>5}", lambda s: repr([s]), lambda s: repr(vars(type(s)))])
def test_signer__shown__has_no_secret(show: object) -> None:
    """beh:J24 beh:L17"""
    signer = LocalSigner(Secret(KEY))
    text = show(signer)  # type: ignore[operator]
    assert KEY.hex() not in text and str(KEY)[2:-1] not in text
    assert not hasattr(signer, "__dict__")


@pytest.mark.parametrize("store", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("thing", [LocalSigner(Secret(KEY)), Secret(KEY)], ids=["signer", "secret"])
def test_signer__stored_or_copied__refused(store: object, thing: object) -> None:
    """beh:J24 beh:L17"""
    with pytest.raises(TypeError, match="cannot be stored") as caught:
        store(thing)  # type: ignore[operator]
    assert KEY.hex() not in str(caught.value) and "hidden" in repr(Secret(KEY))


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, KEY[:31], KEY + b"\0"])
def test_signer__key_out_of_range__refused(key: bytes) -> None:
    with pytest.raises(KeyUnusable):
        LocalSigner(Secret(key))


def test_signer__digest_of_other_length__refused() -> None:
    with pytest.raises(ValueError):
        LocalSigner(Secret(KEY)).sign_digest(b"short")


def test_write_keystore__new_file__private_and_opens_again(tmp_path: Path, password: Path) -> None:
    path = tmp_path / "new" / "key.json"
    assert write_keystore(Secret(KEY), path, Secret(PASSWORD)) == ADDRESS
    assert path.stat().st_mode & 0o777 == 0o600 and KEY.hex() not in path.read_text()
    assert signer_from_keystore(path, password).address == ADDRESS
    with pytest.raises(KeyUnusable, match="not overwritten"):
        write_keystore(Secret(KEY), path, Secret(PASSWORD))


@given(
    nonce=st.integers(0, 2**40),
    tip=st.integers(0, 2**60),
    fee=st.integers(0, 2**60),
    gas=st.integers(21_000, 2**30),
    value=st.integers(0, 2**100),
    data=st.binary(max_size=80),
    creates=st.booleans(),
)
def test_sign_transaction__any_fields__equals_eth_account(
    nonce: int, tip: int, fee: int, gas: int, value: int, data: bytes, creates: bool
) -> None:
    """The oracle is another implementation of EIP-1559."""
    to = b"" if creates else bytes.fromhex("70997970C51812dc3A010C7d01b50e0d17dc79C8")
    transaction = FeeMarketTransaction(ChainId(1337), nonce, Wei(tip), Wei(fee), gas, to, Wei(value), data)
    ours = LocalSigner(Secret(KEY)).sign_transaction(transaction)
    fields = {
        "type": 2,
        "chainId": 1337,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": fee,
        "gas": gas,
        "value": value,
        "data": data,
    }
    theirs = Account.sign_transaction({**fields, **({} if creates else {"to": to})}, KEY)
    assert ours.raw == theirs.raw_transaction and ours.hash == theirs.hash
