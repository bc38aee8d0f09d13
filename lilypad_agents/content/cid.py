"""Content identifiers: CIDv1 with sha2-256 over raw or dag-pb blocks, and nothing else.

One spelling per identifier: `b` + lower-case base32 without padding (RFC 4648) of `01 codec 12 20 || digest`. Other
bases, versions and hashes are refused, so that two texts name the same content exactly when they are equal.
Source: multiformats CID specification; protocol section 5.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from lilypad_agents.content.errors import BlockMismatch, InvalidCid

DIGEST_BYTES = 32
CID_BYTES = 36
_VERSION_1 = 0x01
_SHA2_256 = 0x12
_TEXT_LENGTH = 59
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")


class Codec(IntEnum):
    """How the bytes of a block are read; the numbers of the multicodec table."""

    RAW = 0x55
    DAG_PB = 0x70


def sha256(data: bytes) -> bytes:
    """The sha2-256 digest, 32 bytes."""
    return hashlib.sha256(data).digest()


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """One content identifier: `codec` says how to read the block, `digest` is its sha2-256 (32 bytes)."""

    codec: Codec
    digest: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.digest, bytes) or len(self.digest) != DIGEST_BYTES:
            raise InvalidCid("a CID needs a digest of 32 bytes", found=_short(self.digest))
        try:
            object.__setattr__(self, "codec", Codec(self.codec))
        except ValueError as error:
            raise InvalidCid("a CID is raw or dag-pb here", found=_short(self.codec)) from error

    @classmethod
    def raw(cls, digest: bytes) -> Self:
        """The identifier of a raw block (a file up to 1 MiB, an inputs document) from its 32-byte sha2-256."""
        return cls(Codec.RAW, digest)

    @classmethod
    def dag_pb(cls, digest: bytes) -> Self:
        """The identifier of a dag-pb block (every folder, `outputsRoot`) from its 32-byte sha2-256."""
        return cls(Codec.DAG_PB, digest)

    @classmethod
    def of(cls, data: bytes, codec: Codec = Codec.RAW) -> Self:
        """The identifier of a block with these bytes."""
        return cls(codec, sha256(data))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the base32 form. Raises InvalidCid and says what the text looks like instead."""
        if not isinstance(text, str):
            raise InvalidCid("a CID is a text", found=type(text).__name__)
        _refuse_other_spellings(text)
        padded = text[1:].upper() + "=" * (-(len(text) - 1) % 8)
        cid = cls.from_bytes(base64.b32decode(padded))
        if str(cid) != text:
            raise InvalidCid("the last character of the CID carries bits that must be zero", found=text)
        return cid

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the 36-byte binary form. Raises InvalidCid for another version, codec, hash or length."""
        if len(data) == 34 and data[:2] == bytes((_SHA2_256, DIGEST_BYTES)):
            raise InvalidCid("this is a CIDv0; only CIDv1 is used", found=_short(data))
        if len(data) != CID_BYTES or data[0] != _VERSION_1:
            raise InvalidCid("not the 36 bytes of a CIDv1 with sha2-256", found=_short(data))
        if data[2:4] != bytes((_SHA2_256, DIGEST_BYTES)):
            raise InvalidCid("the CID uses another hash than sha2-256", found=_short(data))
        if data[1] not in tuple(Codec):
            raise InvalidCid("the CID names another codec than raw and dag-pb", found=_short(data))
        return cls(Codec(data[1]), bytes(data[4:]))

    def __bytes__(self) -> bytes:
        return bytes((_VERSION_1, self.codec, _SHA2_256, DIGEST_BYTES)) + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode("ascii").rstrip("=").lower()

    @property
    def is_raw(self) -> bool:
        """Whether the block is plain bytes without links."""
        return self.codec is Codec.RAW

    def verify(self, data: bytes) -> None:
        """Raise BlockMismatch unless these are the bytes that the identifier names."""
        found = sha256(data)
        if found != self.digest:
            raise BlockMismatch(
                "the bytes do not have the hash that names them", cid=str(self), found=found.hex(), size=len(data)
            )


def _refuse_other_spellings(text: str) -> None:
    if text.startswith("Qm") and len(text) == 46:
        raise InvalidCid("this is a CIDv0; only CIDv1 is used", found=text)
    if not text.startswith("b"):
        raise InvalidCid("a CID starts with `b` (base32, lower case)", found=_short(text))
    if len(text) != _TEXT_LENGTH:
        raise InvalidCid(f"a CID has {_TEXT_LENGTH} characters, this text {len(text)}", found=_short(text))
    if not _ALPHABET.issuperset(text):
        raise InvalidCid("a CID consists of lower-case letters and the digits 2 to 7", found=_short(text))


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, (bytes, bytearray)) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
