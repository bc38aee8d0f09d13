"""What can be said of a contract from its code alone: which instructions it has, and whether any lets its code change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

_PUSH1, _PUSH32 = 0x60, 0x7F
# Instructions by which code or its storage could come under somebody else's control, and the sender of a transaction,
# which is no consent (protocol section 1).
FORBIDDEN: Mapping[int, str] = MappingProxyType(
    {0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xFF: "SELFDESTRUCT", 0x32: "ORIGIN"}
)
# Slots in which proxies keep their implementation, admin and beacon (EIP-1967, EIP-1822).
PROXY_SLOTS = (
    0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC,
    0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103,
    0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50,
    0xC5F16F0FCC639FA48A6947836D9850F504798523BF8C9A3A87D5876CF622BCF7,
)


def executable(code: bytes) -> bytes:
    """The code without the metadata that solc appends (CBOR map, its length in the last two bytes)."""
    if len(code) < 2:
        return code
    length = int.from_bytes(code[-2:], "big")
    start = len(code) - 2 - length
    # A CBOR map of one to four text keys (0xa1..0xa4), which is all that solc writes.
    return code[:start] if 0 <= start < len(code) - 2 and code[start] in (0xA1, 0xA2, 0xA3, 0xA4) else code


def instructions(code: bytes) -> Iterator[tuple[int, int]]:
    """(offset, opcode) of each instruction; what PUSH carries is data and is passed over."""
    offset = 0
    while offset < len(code):
        opcode = code[offset]
        yield offset, opcode
        offset += 2 + opcode - _PUSH1 if _PUSH1 <= opcode <= _PUSH32 else 1


def forbidden_instructions(code: bytes) -> list[tuple[int, str]]:
    """(offset, name) of every instruction in FORBIDDEN, metadata and pushed data left out."""
    return [(offset, FORBIDDEN[opcode]) for offset, opcode in instructions(executable(code)) if opcode in FORBIDDEN]
