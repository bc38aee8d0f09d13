"""HTTP requests signed by an account key: RFC 9421 message signatures over what a request means.

Covered are `@method`, `@authority`, `@path`, `@query`, `content-digest` (RFC 9530, sha-256; of the empty body when there
is none) and every `lilypad-` header that may change a request's meaning; parameters are `created`, `nonce`, `keyid` (the
checksummed address) and `alg` "eip191-secp256k1": EIP-191 personal_sign over the signature base, r || s || v, so that
any wallet can make it. The server answers a clock that is too far off with its own time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import threading
from collections import deque
from collections.abc import Collection, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lilypad_agents.agents.runtime.errors import (
    RequestElsewhere,
    RequestForged,
    RequestReplayed,
    RequestStale,
    RequestUnsigned,
)
from lilypad_agents.protocol.consent import recover
from lilypad_agents.protocol.errors import SignatureMalformed
from lilypad_agents.protocol.ids import Address, checksummed, keccak256

ALGORITHM = "eip191-secp256k1"
LABEL = "lilypad"
WINDOW_S = 60
SCOPE_HEADER = "lilypad-scope"
KIND_HEADER = "lilypad-kind"
_OPTIONAL = (SCOPE_HEADER, KIND_HEADER)
_REQUIRED = ("@method", "@authority", "@path", "@query", "content-digest")
_INPUT = re.compile(
    r'lilypad=(\(("[a-z@-]{1,40}"(?: "[a-z@-]{1,40}"){0,15})\);created=(\d{1,12});nonce="([A-Za-z0-9_-]{8,64})"'
    r';keyid="(0x[0-9a-fA-F]{40})";alg="([a-z0-9-]{1,40})")',
    re.ASCII,
)
_SIGNATURE = re.compile(r"lilypad=:([A-Za-z0-9+/]{87}=):", re.ASCII)
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
EMPTY_DIGEST = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


class DigestSigner(Protocol):
    """What is needed of a key (`chain.keys.Signer`)."""

    @property
    def address(self) -> str: ...

    def sign_digest(self, digest: bytes) -> bytes: ...


class Place(Protocol):
    """`raw_path`: path and query as sent."""

    @property
    def scheme(self) -> str: ...

    @property
    def raw_path(self) -> bytes: ...


class Signable(Protocol):
    """A request before it is sent, of `agents.runtime.exchange` or of httpx; `headers` are found by lower-case name."""

    @property
    def method(self) -> str: ...

    @property
    def url(self) -> Place: ...

    @property
    def headers(self) -> MutableMapping[str, str]: ...

    @property
    def content(self) -> bytes: ...


@dataclass(frozen=True)
class Signed:
    """Who signed a request and when; `digest` is the sha-256 (32 bytes) that the body must have."""

    account: Address
    created: int
    nonce: str
    digest: bytes


# ---- signing


def sign(request: Signable, signer: DigestSigner, created: int, nonce: str | None = None) -> None:
    """Adds Content-Digest (unless there), Signature-Input and Signature. `created`: unix seconds.

    The body must be known (`request.content`), or the request carry its Content-Digest: a stream cannot be read twice.
    """
    headers = request.headers
    if "content-digest" not in headers:
        headers["content-digest"] = content_digest(request.content)
    raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
    covered = [*_REQUIRED, *(name for name in _OPTIONAL if name in headers)]
    parameters = _parameters(covered, created, nonce or secrets.token_urlsafe(18), signer.address)
    base = signature_base(
        method=request.method,
        authority=_authority(headers.get("host", ""), request.url.scheme),
        path=raw_path,
        query=query,
        fields={name: headers[name] for name in covered if not name.startswith("@")},
        covered=covered,
        parameters=parameters,
    )
    signature = signer.sign_digest(personal_digest(base))
    headers["signature-input"] = f"{LABEL}={parameters}"
    headers["signature"] = f"{LABEL}=:{base64.b64encode(signature).decode()}:"


def content_digest(body: bytes) -> str:
    """The Content-Digest of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_base(
    *, method: str, authority: str, path: str, query: str, fields: dict[str, str], covered: Sequence[str], parameters: str
) -> bytes:
    """The text that is signed (RFC 9421 section 2.5). `query` without its question mark."""
    values = {"@method": method, "@authority": authority, "@path": path or "/", "@query": f"?{query}"}
    lines = [f'"{name}": {values[name] if name.startswith("@") else fields[name]}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def personal_digest(message: bytes) -> bytes:
    """What a wallet's personal_sign signs (EIP-191 version 0x45)."""
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


# ---- verifying


@dataclass(frozen=True)
class ReceivedRequest:
    """What a server saw of a request: `path` as sent (percent-encoded), `query` without its question mark.

    `headers` are name (lower case) and value, in order, repeated ones repeated.
    """

    method: str
    scheme: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]

    def one(self, name: str) -> str | None:
        """The value of a header that may appear once. Raises RequestForged when it appears twice."""
        found = [value for key, value in self.headers if key == name]
        if len(found) > 1:
            raise RequestForged(f"The header {name} appears {len(found)} times.")
        return found[0].strip() if found else None


def claimed_account(request: ReceivedRequest) -> Address | None:
    """The account that a request says it is of, unchecked; for rate limits before the costly part."""
    found = [value for key, value in request.headers if key == "signature-input"]
    match = _INPUT.fullmatch(found[0]) if len(found) == 1 else None
    return checksummed(match[5]) if match else None


def verify(
    request: ReceivedRequest, *, now: int, nonces: NonceStore, served_as: Collection[str] | None, window_s: int = WINDOW_S
) -> Signed:
    """Checks the signature, its time and its nonce, and takes the nonce. The caller compares the body with `digest`.

    `served_as`: the authorities (host:port, default ports left out) that are ours; None takes any. Raises
    RequestUnsigned, RequestForged, RequestElsewhere, RequestStale, RequestReplayed.
    """
    covered, created, nonce, account, parameters, signature = _read(request)
    authority = _authority(request.one("host") or "", request.scheme)
    if served_as is not None and authority not in served_as:
        raise RequestElsewhere(
            f"The request was sent to {authority[:200]}, this server is {', '.join(sorted(served_as))}.",
            found=authority[:200],
            served=sorted(served_as),
        )
    fields = {name: _field(request, name) for name in covered if not name.startswith("@")}
    try:
        base = signature_base(
            method=request.method,
            authority=authority,
            path=request.path,
            query=request.query,
            fields=fields,
            covered=covered,
            parameters=parameters,
        )
        signed_by = recover(personal_digest(base), signature)
    except (SignatureMalformed, UnicodeEncodeError) as error:
        raise RequestForged(f"The signature of the request does not count: {error}") from None
    if signed_by != account:
        raise RequestForged(f"The request was not signed by {account} as it stands.", account=account)
    if abs(now - created) > window_s:
        raise RequestStale(
            f"The request was signed at {created}, here it is {now}; {window_s} s apart are allowed.",
            created=created,
            time=now,
            window=window_s,
        )
    digest = _digest_of(fields["content-digest"])
    nonces.take(account, nonce, created, now)
    return Signed(account, created, nonce, digest)


def _read(request: ReceivedRequest) -> tuple[list[str], int, str, Address, str, bytes]:
    given, proof = request.one("signature-input"), request.one("signature")
    if given is None or proof is None:
        raise RequestUnsigned("The request is not signed.")
    match, signature = _INPUT.fullmatch(given), _SIGNATURE.fullmatch(proof)
    if match is None or signature is None:
        raise RequestUnsigned("The request's Signature-Input or Signature is not of the form that this server takes.")
    parameters, names, created, nonce, keyid, algorithm = match.groups()
    if algorithm != ALGORITHM:
        raise RequestUnsigned(f"The algorithm is {ALGORITHM} here.", found=algorithm)
    covered = [name.strip('"') for name in names.split(" ")]
    present = {key for key, _ in request.headers}
    needed = [*_REQUIRED, *(name for name in _OPTIONAL if name in present)]
    missing = [name for name in needed if name not in covered]
    unknown = [name for name in covered if name not in (*_REQUIRED, *_OPTIONAL)]
    if missing or unknown or len(set(covered)) != len(covered):
        raise RequestUnsigned(f"The signature must cover {', '.join(needed)}, each once and nothing else.", missing=missing)
    try:
        decoded = base64.b64decode(signature[1], validate=True)
    except binascii.Error:
        raise RequestUnsigned("The signature is no base64 text.") from None
    account = checksummed(keyid)
    if account != keyid:
        raise RequestUnsigned("The keyid is not a checksummed address.", found=keyid)
    return covered, int(created), nonce, account, parameters, decoded


def _field(request: ReceivedRequest, name: str) -> str:
    value = request.one(name)
    if value is None:
        raise RequestForged(f"The signature covers {name}, but the request has no such header.")
    return value


def _digest_of(value: str) -> bytes:
    match = _DIGEST.fullmatch(value)
    if match is None:
        raise RequestForged("The Content-Digest is not one sha-256 digest.")
    return base64.b64decode(match[1])


def _authority(host: str, scheme: str) -> str:
    """Host and port as RFC 9421 2.2.3 wants them: lower case, without the scheme's default port."""
    name, separator, port = host.strip().lower().rpartition(":")
    return name if separator and name and port == _DEFAULT_PORTS.get(scheme) else host.strip().lower()


def _parameters(covered: Iterable[str], created: int, nonce: str, account: str) -> str:
    names = " ".join(f'"{name}"' for name in covered)
    return f'({names});created={created};nonce="{nonce}";keyid="{account}";alg="{ALGORITHM}"'


class NonceStore:
    """Nonces of the last two windows. Requests signed before `since` are refused, so that a restart forgets nothing.

    Holds at most `most` nonces; beyond that the oldest seconds are closed early (their requests are refused as stale).
    """

    def __init__(self, *, since: int = 0, window_s: int = WINDOW_S, most: int = 500_000) -> None:
        self._floor = since
        self._window_s = window_s
        self._most = most
        self._seen: set[tuple[str, str]] = set()
        self._by_second: dict[int, deque[tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def take(self, account: str, nonce: str, created: int, now: int) -> None:
        """Marks a nonce as used. Raises RequestReplayed, or RequestStale before `since`."""
        with self._lock:
            self._forget(now - self._window_s)
            if created < self._floor:
                raise RequestStale(
                    f"The request was signed at {created}; only those from {self._floor} on can be told from replays.",
                    created=created,
                    time=now,
                    window=self._window_s,
                )
            key = (account, nonce)
            if key in self._seen:
                raise RequestReplayed("A request with this nonce was taken before.", nonce=nonce)
            self._seen.add(key)
            self._by_second.setdefault(created, deque()).append(key)
            while len(self._seen) > self._most:
                self._close(min(self._by_second))

    def __len__(self) -> int:
        return len(self._seen)

    def _forget(self, before: int) -> None:
        for second in [second for second in self._by_second if second < before]:
            self._seen.difference_update(self._by_second.pop(second))

    def _close(self, second: int) -> None:
        self._seen.difference_update(self._by_second.pop(second))
        self._floor = max(self._floor, second + 1)
