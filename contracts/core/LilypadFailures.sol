// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "../types/Address.sol";
import {Term} from "../types/Calls.sol";
import {DealId} from "../types/Ids.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";

/// @title Errors as values
/// @dev A check answers with an encoded error of ILilypad, empty for none: a single call reverts with it, a batch skips the
/// item and reports it. All errors have word-sized arguments, so one encoder serves them all; encoding each where it
/// arises would not fit the code size limit (measured: 9 kB).
abstract contract LilypadFailures is ILilypad {
    function _failure(bytes4 selector) internal pure returns (bytes memory) {
        return _encode(uint32(selector), 4, 0, 0, 0, 0);
    }

    function _failure(bytes4 selector, uint256 a) internal pure returns (bytes memory) {
        return _encode(uint32(selector), 36, a, 0, 0, 0);
    }

    function _failure(bytes4 selector, uint256 a, uint256 b) internal pure returns (bytes memory) {
        return _encode(uint32(selector), 68, a, b, 0, 0);
    }

    function _failure(bytes4 selector, uint256 a, uint256 b, uint256 c) internal pure returns (bytes memory) {
        return _encode(uint32(selector), 100, a, b, c, 0);
    }

    function _failure(bytes4 selector, uint256 a, uint256 b, uint256 c, uint256 d)
        internal
        pure
        returns (bytes memory)
    {
        return _encode(uint32(selector), 132, a, b, c, d);
    }

    function _above(Term term, uint256 found, uint256 most) internal pure returns (bytes memory) {
        return _encode(uint32(TermAbove.selector), 100, uint256(term), found, most, 0);
    }

    function _below(Term term, uint256 found, uint256 least) internal pure returns (bytes memory) {
        return _encode(uint32(TermBelow.selector), 100, uint256(term), found, least, 0);
    }

    function _encode(uint256 selector, uint256 size, uint256 a, uint256 b, uint256 c, uint256 d)
        private
        pure
        returns (bytes memory failure)
    {
        // Never taken. A function that calls itself is kept whole by the compiler, which otherwise makes a copy of this one
        // for every selector and size (measured: 5 kB).
        if (size > 132) return _encode(selector, 132, a, b, c, d);
        // Safe: takes 192 bytes of fresh memory, of which `failure` shows `size`.
        assembly ("memory-safe") {
            failure := mload(64)
            mstore(64, add(failure, 192))
            mstore(failure, size)
            mstore(add(failure, 32), shl(224, selector))
            mstore(add(failure, 36), a)
            mstore(add(failure, 68), b)
            mstore(add(failure, 100), c)
            mstore(add(failure, 132), d)
        }
    }

    function _fail(bytes4 selector, uint256 a) internal pure {
        _revertWith(_failure(selector, a));
    }

    function _fail(bytes4 selector, uint256 a, uint256 b) internal pure {
        _revertWith(_failure(selector, a, b));
    }

    function _fail(bytes4 selector, uint256 a, uint256 b, uint256 c) internal pure {
        _revertWith(_failure(selector, a, b, c));
    }

    function _fail(bytes4 selector, uint256 a, uint256 b, uint256 c, uint256 d) internal pure {
        _revertWith(_failure(selector, a, b, c, d));
    }

    function _word(Address account) internal pure returns (uint256) {
        return Address.unwrap(account);
    }

    function _word(DealId dealId) internal pure returns (uint256) {
        return uint256(DealId.unwrap(dealId));
    }

    /// @dev Reverts with an encoded error; does nothing when there is none.
    function _revertWith(bytes memory failure) internal pure {
        if (failure.length == 0) return;
        // Safe: hands an error that lies in memory to the caller as it is.
        assembly ("memory-safe") {
            revert(add(failure, 32), mload(failure))
        }
    }
}
