// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice All that the ledger knows of one account in one token, in one word. Fields from the least significant bit:
/// [0..95] free, smallest units | [96..191] locked in open deals, smallest units
/// | [192..223] jobFloor: job offers with a smaller nonce are cancelled | [224..255] resourceFloor: the same for resource offers
type AccountWord is uint256;

using AccountWordLib for AccountWord global;

/// @title Reading and moving the amounts of an account word
/// @dev The ledger holds at most 2^96 - 1 of a token in all (LilypadPayments refuses deposits beyond that), and every
/// amount that is added here was taken from somewhere in the ledger before, so no field can overflow into the next.
/// The checks stay nevertheless: a broken caller must revert, not spill. What is unchecked follows them.
library AccountWordLib {
    uint256 private constant AMOUNT_MASK = type(uint96).max;

    error AmountOverflows(uint256 amount);
    error AmountUnderflows(uint256 has, uint256 needed);

    function free(AccountWord word) internal pure returns (uint256) {
        return AccountWord.unwrap(word) & AMOUNT_MASK;
    }

    function locked(AccountWord word) internal pure returns (uint256) {
        return AccountWord.unwrap(word) >> 96 & AMOUNT_MASK;
    }

    function jobFloor(AccountWord word) internal pure returns (uint32) {
        return uint32(AccountWord.unwrap(word) >> 192);
    }

    function resourceFloor(AccountWord word) internal pure returns (uint32) {
        return uint32(AccountWord.unwrap(word) >> 224);
    }

    function addFree(AccountWord word, uint256 amount) internal pure returns (AccountWord) {
        unchecked {
            if (amount > AMOUNT_MASK - free(word)) revert AmountOverflows(amount);
            return AccountWord.wrap(AccountWord.unwrap(word) + amount);
        }
    }

    function subFree(AccountWord word, uint256 amount) internal pure returns (AccountWord) {
        if (free(word) < amount) revert AmountUnderflows(free(word), amount);
        unchecked {
            return AccountWord.wrap(AccountWord.unwrap(word) - amount);
        }
    }

    /// @notice Moves `amount` from free to locked.
    function lock(AccountWord word, uint256 amount) internal pure returns (AccountWord) {
        word = subFree(word, amount);
        unchecked {
            if (amount > AMOUNT_MASK - locked(word)) revert AmountOverflows(amount);
            return AccountWord.wrap(AccountWord.unwrap(word) + (amount << 96));
        }
    }

    /// @notice Takes `amount` out of locked; its new owner is the caller's business.
    function subLocked(AccountWord word, uint256 amount) internal pure returns (AccountWord) {
        if (locked(word) < amount) revert AmountUnderflows(locked(word), amount);
        unchecked {
            return AccountWord.wrap(AccountWord.unwrap(word) - (amount << 96));
        }
    }

    /// @notice Floors only rise.
    function raiseFloors(AccountWord word, uint32 job, uint32 resource) internal pure returns (AccountWord) {
        uint256 raisedJob = job > jobFloor(word) ? job : jobFloor(word);
        uint256 raisedResource = resource > resourceFloor(word) ? resource : resourceFloor(word);
        uint256 amounts = AccountWord.unwrap(word) & (1 << 192) - 1;
        return AccountWord.wrap(amounts | raisedJob << 192 | raisedResource << 224);
    }
}
