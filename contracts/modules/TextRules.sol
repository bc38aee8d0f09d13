// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadModules} from "../interfaces/ILilypadModules.sol";

/// @title The grammar of names and versions, so that no two of them look alike by odd characters
/// @dev name: [a-z0-9][a-z0-9-]{0,62}; version: [A-Za-z0-9][A-Za-z0-9._+-]{0,63}. A set of characters is a word with bit c
/// for character c. Errors tell the index of the first offending byte, or the length when that is wrong.
library TextRules {
    uint256 private constant DIGITS = 0x3ff << 48;
    uint256 private constant LOWER = 0x3ffffff << 97;
    uint256 private constant UPPER = 0x3ffffff << 65;
    uint256 private constant NAME_FIRST = DIGITS | LOWER;
    uint256 private constant NAME_REST = NAME_FIRST | 1 << 45; // -
    uint256 private constant VERSION_FIRST = DIGITS | LOWER | UPPER;
    uint256 private constant VERSION_REST = VERSION_FIRST | 1 << 45 | 1 << 46 | 1 << 95 | 1 << 43; // - . _ +
    uint256 private constant NAME_BYTES = 63;
    uint256 private constant VERSION_BYTES = 64;

    function requireName(string calldata text) internal pure {
        _require(text, bytes(text), 0, NAME_BYTES, NAME_FIRST, NAME_REST);
    }

    function requireVersion(string calldata text) internal pure {
        _require(text, bytes(text), 0, VERSION_BYTES, VERSION_FIRST, VERSION_REST);
    }

    /// @dev "name:version".
    function requireLabel(string calldata text) internal pure {
        bytes calldata raw = bytes(text);
        uint256 colon = 0;
        while (colon < raw.length && raw[colon] != ":") colon++;
        if (colon == raw.length) revert ILilypadModules.TextInvalid(text, colon);
        _require(text, raw[:colon], 0, NAME_BYTES, NAME_FIRST, NAME_REST);
        _require(text, raw[colon + 1:], colon + 1, VERSION_BYTES, VERSION_FIRST, VERSION_REST);
    }

    /// @dev Checks `part` of `text`, which begins at byte `offset`.
    function _require(
        string calldata text,
        bytes calldata part,
        uint256 offset,
        uint256 most,
        uint256 first,
        uint256 rest
    ) private pure {
        if (part.length == 0 || part.length > most) revert ILilypadModules.TextInvalid(text, offset + part.length);
        uint256 allowed = first;
        // Safe: `i` stays below the length, so nothing overflows and only the part itself is read. Half the cost of a checked loop.
        unchecked {
            for (uint256 i = 0; i < part.length; i++) {
                uint256 character;
                assembly ("memory-safe") {
                    character := byte(0, calldataload(add(part.offset, i)))
                }
                if (allowed >> character & 1 == 0) revert ILilypadModules.TextInvalid(text, offset + i);
                allowed = rest;
            }
        }
    }
}
