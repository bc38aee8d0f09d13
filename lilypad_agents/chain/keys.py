"""Keys: from a keystore with a password file, an Ape account alias, or the test mnemonic of local chains.

A secret stays inside the signer that was made from it: no representation, pickle or exception of these objects shows
it, and it never comes from an argument or the environment. An external signer is another class with these methods.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from coincurve import PrivateKey

from lilypad_agents.chain.errors import KeyUnusable
from lilypad_agents.chain.transaction import FeeMarketTransaction, SignedTransaction
from lilypad_agents.chain.types import ChainId
from lilypad_agents.protocol.ids import checksummed, keccak256

TEST_MNEMONIC = "test test test test test test test test test test test junk"
LOCAL_CHAINS = (ChainId(1337), ChainId(31337))
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HARDENED = 1 << 31
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class Signer(Protocol):
    """What an agent needs of a key. `address` is checksummed."""

    @property
    def address(self) -> str: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Signature over 32 bytes: r || s || v, 65 bytes, low s, v 27 or 28 (what ecrecover and ERC-1271 tools take)."""
        ...

    def sign_transaction(self, transaction: FeeMarketTransaction) -> SignedTransaction: ...


class Secret:
    """A password or key on its way to its use; shows itself nowhere."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A secret cannot be stored or copied.")


class LocalSigner:
    """A key held in this process (libsecp256k1, RFC 6979 nonces)."""

    __slots__ = ("_address", "_key")

    def __init__(self, secret: Secret) -> None:
        """`secret`: the 32-byte private key. Raises KeyUnusable when it is out of range."""
        if len(secret.reveal()) != 32 or not 0 < int.from_bytes(secret.reveal(), "big") < _ORDER:
            raise KeyUnusable("The private key is not a number of the curve's range.")
        self._key = PrivateKey(secret.reveal())
        self._address = checksummed("0x" + keccak256(self._key.public_key.format(compressed=False)[1:])[12:].hex())

    @property
    def address(self) -> str:
        return self._address

    def sign_digest(self, digest: bytes) -> bytes:
        """See Signer. Raises ValueError when `digest` is not 32 bytes."""
        if len(digest) != 32:
            raise ValueError("A digest has 32 bytes.")
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    def sign_transaction(self, transaction: FeeMarketTransaction) -> SignedTransaction:
        return transaction.assemble(self.sign_digest(transaction.digest()))

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A signer cannot be stored or copied; it holds a secret.")


def signer_from_keystore(keystore: Path, password_file: Path) -> LocalSigner:
    """A V3 keystore (JSON) and the file whose first line is its password; both must be readable by their owner only.

    Raises KeyUnusable, which names the file and what is wrong with it, and never the secret.
    """
    document = _parse_keystore(_read_private(keystore, "key file"), keystore)
    secret = _decrypt(document, _first_line(_read_private(password_file, "password file")))
    if secret is None:
        raise KeyUnusable(f"The password in {password_file} does not open the key file {keystore}.")
    signer = LocalSigner(secret)
    named = str(document.get("address", "")).removeprefix("0x").lower()
    if named and named != signer.address[2:].lower():
        raise KeyUnusable(f"The key file {keystore} names another address than its key has.")
    return signer


def signer_from_ape(ape_folder: Path, alias: str, password_file: Path) -> LocalSigner:
    """The account `alias` of Ape, whose key files lie in `<ape_folder>/accounts`. Raises KeyUnusable."""
    if not _ALIAS.fullmatch(alias):
        raise KeyUnusable("An Ape account alias has letters, digits, dots, dashes and underscores only.")
    path = ape_folder / "accounts" / f"{alias}.json"
    if not path.exists():
        raise KeyUnusable(f"There is no Ape account {alias} in {ape_folder}.", hint="See `ape accounts list`.")
    return signer_from_keystore(path, password_file)


def signer_from_test_mnemonic(index: int, chain_id: ChainId) -> LocalSigner:
    """Account `index` of the public test mnemonic (m/44'/60'/0'/0/index), on local chains (1337, 31337) only.

    Raises KeyUnusable on any other chain: everybody knows these keys.
    """
    if chain_id not in LOCAL_CHAINS:
        raise KeyUnusable(
            f"The test keys are public and work only on the local chains 1337 and 31337, not on chain {chain_id}.",
            chain_id=chain_id,
            hint="Give a key file and a password file.",
        )
    if not 0 <= index < 2**31:
        raise KeyUnusable(f"There is no test account {index}.")
    return LocalSigner(Secret(_derive(TEST_MNEMONIC, (44 | _HARDENED, 60 | _HARDENED, _HARDENED, 0, index))))


def _derive(mnemonic: str, path: tuple[int, ...]) -> bytes:
    """The private key at `path` below a mnemonic without a passphrase. Source: BIP-39 and BIP-32."""
    seed = hashlib.pbkdf2_hmac("sha512", mnemonic.encode(), b"mnemonic", 2048)
    node = hmac.digest(b"Bitcoin seed", seed, "sha512")
    for number in path:
        key, chain = node[:32], node[32:]
        parent = b"\0" + key if number & _HARDENED else PrivateKey(key).public_key.format()
        node = hmac.digest(chain, parent + number.to_bytes(4, "big"), "sha512")
        tweaked = (int.from_bytes(node[:32], "big") + int.from_bytes(key, "big")) % _ORDER
        node = tweaked.to_bytes(32, "big") + node[32:]
    return node[:32]


def write_keystore(secret: Secret, path: Path, password: Secret) -> str:
    """Writes a new V3 keystore, readable by its owner only, and returns its address. Raises KeyUnusable if it exists."""
    from eth_keyfile import create_keyfile_json

    address = LocalSigner(secret).address
    document = create_keyfile_json(secret.reveal(), password.reveal(), kdf="scrypt")
    document["address"] = address[2:].lower()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyUnusable(f"The key file {path} exists; it is not overwritten.") from None
    except OSError as error:
        raise KeyUnusable(f"The key file {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    return address


def _read_private(path: Path, what: str) -> Secret:
    """The content of a file that only its owner may read; checked on the open file, so that it cannot be swapped."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyUnusable(f"The {what} {path} cannot be read: {error.strerror}.", path=str(path)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise KeyUnusable(f"The {what} {path} is not a plain file.", path=str(path))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & 0o077:
            raise KeyUnusable(
                f"The {what} {path} can be read or changed by others (mode {stat.S_IMODE(status.st_mode):03o}).",
                path=str(path),
                hint=f"Run `chmod 600 {path}`; if others had access, make a new key.",
            )
        return Secret(file.read(1 << 20))


def _first_line(content: Secret) -> Secret:
    return Secret((content.reveal().splitlines() or [b""])[0])


def _parse_keystore(content: Secret, path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(content.reveal())
    except ValueError:
        document = None  # the parser's own error would quote the file
    if not isinstance(document, dict) or document.get("version") != 3:
        raise KeyUnusable(f"The key file {path} is no V3 keystore.", path=str(path))
    return document


def _decrypt(document: Mapping[str, Any], password: Secret) -> Secret | None:
    """The private key, or None; the library's own exceptions end here, since their frames hold the password."""
    from eth_keyfile import decode_keyfile_json

    try:
        return Secret(bytes(decode_keyfile_json(dict(document), password.reveal())))
    except Exception:  # whatever it is (wrong password, odd fields): the caller names the file
        return None
