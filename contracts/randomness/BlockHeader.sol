// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Reads what is needed of an RLP block header since the Merge
/// @dev A list of strings, in this order: parent, ommers, beneficiary, state, transactions, receipts, bloom, difficulty,
/// number, gas limit, gas used, time, extra data, mix, nonce, base fee, and whatever later forks added behind (which is not
/// read: the hash vouches for it). Every string that is read must have the width that Ethereum gives it, in the shortest
/// encoding. Cost: linear in the header, whose list prefix of two length bytes ends it at 65,538 bytes.
library BlockHeader {
    uint256 private constant LIST = 0xf9; // a list whose length takes two bytes: the bloom alone has 256
    uint256 private constant BLOOM = 0xb90100; // a string of 256 bytes
    uint256 private constant STRING = 0x80; // plus its length, up to 55

    /// @notice The header is not canonical RLP of the form above; `offset` in bytes.
    error HeaderMalformed(uint256 offset);
    error HeaderOfAnotherBlock(uint256 found, uint256 needed);
    /// @notice Only a difficulty of 0 says that the mix is `prevrandao` and no proof of work.
    error HeaderNotOfStake(uint256 number);

    /// @notice The mix of block `number`: `prevrandao`.
    function mixOf(bytes calldata header, uint256 number) internal pure returns (bytes32 mix) {
        if (_number(header, 0, 1) != LIST || _number(header, 1, 2) + 3 != header.length) revert HeaderMalformed(0);
        uint256 at = _skip(header, _skip(header, _skip(header, 3, 32), 32), 20); // parent, ommers, beneficiary
        at = _skip(header, _skip(header, _skip(header, at, 32), 32), 32); // state, transactions, receipts
        if (_number(header, at, 3) != BLOOM) revert HeaderMalformed(at);
        at += 3 + 256;
        uint256 value;
        (value, at) = _integer(header, at, 32); // difficulty
        if (value != 0) revert HeaderNotOfStake(number);
        (value, at) = _integer(header, at, 8); // number
        if (value != number) revert HeaderOfAnotherBlock(value, number);
        (, at) = _integer(header, at, 8); // gas limit
        (, at) = _integer(header, at, 8); // gas used
        (, at) = _integer(header, at, 8); // time
        (, at) = _string(header, at, 32); // extra data
        mix = bytes32(_number(header, at + 1, 32));
        at = _skip(header, _skip(header, at, 32), 8); // mix, nonce
        _integer(header, at, 32); // base fee
    }

    /// @dev The offset behind a string of exactly `width` bytes, 2 to 55.
    function _skip(bytes calldata header, uint256 at, uint256 width) private pure returns (uint256) {
        if (_number(header, at, 1) != STRING + width) revert HeaderMalformed(at);
        return at + 1 + width;
    }

    /// @dev An integer of at most `most` bytes (32 or fewer), without leading zeros, and the offset behind it.
    function _integer(bytes calldata header, uint256 at, uint256 most) private pure returns (uint256 value, uint256 next) {
        uint256 width;
        (width, next) = _string(header, at, most);
        value = _number(header, next - width, width);
        if (width != 0 && value >> (8 * (width - 1)) == 0) revert HeaderMalformed(at);
    }

    /// @dev The width of a string of at most `most` bytes (55 or fewer), in its shortest form, and the offset behind it.
    function _string(bytes calldata header, uint256 at, uint256 most) private pure returns (uint256 width, uint256 next) {
        uint256 prefix = _number(header, at, 1);
        if (prefix < STRING) return (1, at + 1); // a byte that is its own encoding
        width = prefix - STRING;
        if (width > most || (width == 1 && _number(header, at + 1, 1) < STRING)) revert HeaderMalformed(at);
        next = at + 1 + width;
    }

    /// @dev `width` bytes (32 or fewer) as a number.
    function _number(bytes calldata header, uint256 at, uint256 width) private pure returns (uint256) {
        if (at + width > header.length) revert HeaderMalformed(at);
        return width == 0 ? 0 : uint256(bytes32(header[at:at + width])) >> (8 * (32 - width));
    }
}
