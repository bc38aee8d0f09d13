// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What the functions of AccountWordLib mean, in plain numbers, nothing packed; and the seat fee without bit operations
/// @dev For every word halmos shows that the contracts and this do the same (PlainChecks, RuleChecks); the SMTChecker proves
/// about this what then holds for them (LedgerSteps, RuleProofs).
library Plain {
    uint256 internal constant MOST = type(uint96).max;

    function add(uint256 has, uint256 amount) internal pure returns (uint256) {
        require(amount <= MOST - has);
        return has + amount;
    }

    function sub(uint256 has, uint256 amount) internal pure returns (uint256) {
        require(amount <= has);
        return has - amount;
    }

    function lock(uint256 free, uint256 locked, uint256 amount) internal pure returns (uint256, uint256) {
        return (sub(free, amount), add(locked, amount));
    }

    /// @dev The seat fee that a value of at most 96 bits asks for, before floors.
    function seatFee(uint256 value) internal pure returns (uint256) {
        unchecked {
            return (value * 12_500 + 9999) / 10_000;
        }
    }
}
