// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Content identifiers as people write them
/// @dev CIDv1 in base32 (RFC 4648, lower case, no padding) after the multibase letter b.
library CidText {
    bytes32 private constant ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

    /// @param digest sha2-256 of a dag-pb node, e.g. the root of a result's outputs.
    /// @return `bafybei...`, 59 characters.
    function dagPb(bytes32 digest) internal pure returns (string memory) {
        return _text(abi.encodePacked(hex"01701220", digest));
    }

    /// @param digest sha2-256 of the bytes of one block.
    /// @return `bafkrei...`, 59 characters.
    function raw(bytes32 digest) internal pure returns (string memory) {
        return _text(abi.encodePacked(hex"01551220", digest));
    }

    /// @dev 36 bytes are 57 whole groups of five bits and three bits more, to which two zeros are added.
    function _text(bytes memory cid) private pure returns (string memory) {
        bytes memory text = new bytes(59);
        text[0] = "b";
        uint256 bits;
        uint256 count;
        uint256 next = 1;
        for (uint256 i = 0; i < cid.length; i++) {
            bits = (bits << 8 | uint8(cid[i])) & 0xffff;
            count += 8;
            while (count >= 5) {
                count -= 5;
                text[next++] = ALPHABET[bits >> count & 31];
            }
        }
        text[next] = ALPHABET[bits << 5 - count & 31];
        return string(text);
    }
}
