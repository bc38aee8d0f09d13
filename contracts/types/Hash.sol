// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title keccak256 of words, without taking memory for them
/// @dev As `keccak256(abi.encode(...))`, which would make memory grow with every item of a batch and costs 100 gas more.
library HashLib {
    function hash(bytes32 a, bytes32 b) internal pure returns (bytes32 result) {
        // Safe: the scratch space.
        assembly ("memory-safe") {
            mstore(0, a)
            mstore(32, b)
            result := keccak256(0, 64)
        }
    }

    function hash(bytes32 a, bytes32 b, bytes32 c) internal pure returns (bytes32 result) {
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, a)
            mstore(add(free, 32), b)
            mstore(add(free, 64), c)
            result := keccak256(free, 96)
        }
    }

    function hash(bytes32 a, bytes32 b, bytes32 c, bytes32 d) internal pure returns (bytes32 result) {
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, a)
            mstore(add(free, 32), b)
            mstore(add(free, 64), c)
            mstore(add(free, 96), d)
            result := keccak256(free, 128)
        }
    }

    function hash(bytes32 a, bytes32 b, bytes32 c, bytes32 d, bytes32 e, bytes32 f) internal pure returns (bytes32 result) {
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, a)
            mstore(add(free, 32), b)
            mstore(add(free, 64), c)
            mstore(add(free, 96), d)
            mstore(add(free, 128), e)
            mstore(add(free, 160), f)
            result := keccak256(free, 192)
        }
    }
}
