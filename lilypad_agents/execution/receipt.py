"""The provider's signed statement about one run: facts that need not agree between machines (protocol 5.2).

A receipt is canonical JSON (RFC 8785). It names the result digest and the data id, so it cannot be put to another
result. Signing and recovering are given as callables; this module does no cryptography.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.errors import ManifestInvalid, ResultRefused
from lilypad_agents.execution.fields import Fields, read_object
from lilypad_agents.execution.job import ExitClass, RunResult, exit_class_of
from lilypad_agents.execution.strictjson import JsonRefused, canonical, load

SCHEMA_ID = "lilypad/receipt@1"
MAX_RECEIPT_BYTES = 64 * 1024
Sign = Callable[[bytes], bytes]
Recover = Callable[[bytes, bytes], str]
_HEX32 = r"0x[0-9a-f]{64}"
_ACCOUNT = r"0x[0-9a-fA-F]{40}"
_CID = r"bafybei[a-z2-7]{52}"
_U64 = (1 << 64) - 1
# (name in JSON, name here, kind): the order is that of the dataclass.
_FIELDS = (
    ("deal", "deal", _HEX32),
    ("provider", "provider", _ACCOUNT),
    ("module", "module", _HEX32),
    ("inputs", "inputs", _HEX32),
    ("resultDigest", "result_digest", _HEX32),
    ("dataId", "data_id", _CID),
    ("engine", "engine", r"[a-z0-9][\w.+-]{0,63}"),
    ("artefact", "artefact", r"sha256:[0-9a-f]{64}"),
    ("isa", "isa", r"[a-z0-9][\w.+-]{0,63}"),
    ("startedAt", "started_at", int),
    ("endedAt", "ended_at", int),
    ("wallMs", "wall_ms", int),
    ("cpuMs", "cpu_ms", int),
    ("peakMemoryBytes", "peak_memory", int),
    ("fuel", "fuel", int),
    ("schedule", "schedule", r"[a-z0-9][\w./+-]{0,99}"),
    ("units", "units", int),
    ("exitCode", "exit_code", int),
    ("exitClass", "exit_class", ExitClass),
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Ids and digests are 0x hex of 32 bytes, `data_id` a CID, `artefact` sha256:<hex> of the wasm or the image id.

    `started_at`, `ended_at`: unix seconds of the provider's clock; `wall_ms`, `cpu_ms`: milliseconds; `peak_memory`:
    bytes; `fuel` in units of `schedule`, `units` are those billed.
    """

    deal: str
    provider: str
    module: str
    inputs: str
    result_digest: str
    data_id: str
    engine: str
    artefact: str
    isa: str
    started_at: int
    ended_at: int
    wall_ms: int
    cpu_ms: int
    peak_memory: int
    fuel: int
    schedule: str
    units: int
    exit_code: int
    exit_class: ExitClass

    def as_dict(self) -> dict[str, Any]:
        """The JSON object; whole numbers above 2^53 - 1 are decimal strings."""
        found: dict[str, Any] = {"schema": SCHEMA_ID}
        for name, attribute, _ in _FIELDS:
            value = getattr(self, attribute)
            found[name] = str(value) if isinstance(value, str) or value >= 1 << 53 else value
        return found

    @property
    def canonical(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.as_dict())


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    receipt: Receipt
    signature: bytes

    def to_bytes(self) -> bytes:
        """The file receipt.json, canonical; its sha2-256 as a raw block is the receipt's CID."""
        return canonical({"receipt": self.receipt.as_dict(), "signature": "0x" + self.signature.hex()})


def run_facts(result: RunResult) -> dict[str, Any]:
    """The receipt's fields that come from the run itself, by their names in `Receipt`."""
    return {
        "engine": result.engine,
        "wall_ms": result.wall_ms,
        "cpu_ms": result.cpu_ms,
        "peak_memory": result.peak_memory,
        "fuel": result.fuel,
        "schedule": result.schedule,
        "exit_code": result.exit_code,
        "exit_class": result.exit_class,
    }


def sign_receipt(receipt: Receipt, sign: Sign) -> SignedReceipt:
    """Signs the canonical bytes with the provider's `sign`; raises ResultRefused for one that no reader takes."""
    signed = SignedReceipt(receipt, sign(receipt.canonical))
    parse_receipt(signed.to_bytes())
    return signed


def parse_receipt(raw: bytes) -> SignedReceipt:
    """A receipt file, strictly: known fields only, canonical. Raises ResultRefused. Does not check the signature."""
    try:
        document = load(raw, max_bytes=MAX_RECEIPT_BYTES)
        if canonical(document) != raw:
            raise ResultRefused("the receipt is not in canonical form")
        return read_object(document, "", _signed)
    except (JsonRefused, ManifestInvalid) as failure:
        raise ResultRefused(f"the receipt is malformed: {failure}") from None


def verify_receipt(
    raw: bytes, recover: Recover, *, provider: str, deal: str, result_digest: str, data_id: str
) -> Receipt:
    """The receipt, if `provider` signed it and it is about this deal, digest and data id. Needs no network.

    `recover(message, signature)` gives the signer's address. Raises ResultRefused, which names what differs.
    """
    signed = parse_receipt(raw)
    expected = {"provider": provider, "deal": deal, "result_digest": result_digest, "data_id": data_id}
    for attribute, value in expected.items():
        found = getattr(signed.receipt, attribute)
        if found.lower() != value.lower():
            raise ResultRefused(f"the receipt's {attribute} is {found}, not {value}", found=found, expected=value)
    try:
        signer = recover(signed.receipt.canonical, signed.signature)
    except Exception as failure:  # whatever a library says about a malformed signature
        raise ResultRefused(f"the receipt's signature cannot be read ({type(failure).__name__})") from None
    if signer.lower() != provider.lower():
        raise ResultRefused(f"the receipt was signed by {signer}, not by {provider}", found=signer, expected=provider)
    return signed.receipt


def _signed(f: Fields) -> SignedReceipt:
    signature = f.text("signature", most=4_002, form=r"0x(?:[0-9a-f]{2}){1,2000}", what="signature in hex")
    return SignedReceipt(f.section("receipt", _receipt), bytes.fromhex(signature[2:]))


def _receipt(f: Fields) -> Receipt:
    f.choice("schema", (SCHEMA_ID,))
    values: dict[str, Any] = {}
    for name, attribute, kind in _FIELDS:
        if kind is int:
            values[attribute] = f.integer(name, 0, _U64)
        elif kind is ExitClass:
            values[attribute] = ExitClass(f.choice(name, tuple(ExitClass)))
        else:
            values[attribute] = f.text(name, form=kind, what="value of this field")
    try:
        consistent = exit_class_of(values["exit_code"]) is values["exit_class"]
    except ValueError:
        consistent = False
    if not consistent:
        raise f.refuse("exitClass", "does not belong to the exit code")
    return Receipt(**values)
