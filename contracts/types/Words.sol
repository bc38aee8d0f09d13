// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Arrays of words from calldata to memory in one copy
/// @dev The compiler copies static arrays word by word.
library WordsLib {
    function copy(bytes32[10] calldata words) internal pure returns (bytes32[10] memory result) {
        // Safe: fills the array that was just made.
        assembly ("memory-safe") {
            calldatacopy(result, words, 320)
        }
    }

    function copy(bytes32[11] calldata words) internal pure returns (bytes32[11] memory result) {
        // Safe: fills the array that was just made.
        assembly ("memory-safe") {
            calldatacopy(result, words, 352)
        }
    }

    function copy(bytes32[4] calldata words) internal pure returns (bytes32[4] memory result) {
        // Safe: fills the array that was just made.
        assembly ("memory-safe") {
            calldatacopy(result, words, 128)
        }
    }
}
