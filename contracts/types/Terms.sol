// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "./Address.sol";
import {PoolId, UNVERIFIED, VersionId} from "./Ids.sol";

/// @notice What a module version promises for ever. Protocol 3.3.
struct ModuleTerms {
    address publisher; // account under which the name stands
    bytes32 nameHash; // keccak256 of "name:version"
    bytes32 manifest; // sha2-256 of the canonical manifest, one raw block
    VersionId parent; // the version this one was forked from, or 0
    uint16 royaltyBps; // of gross, at most 3000
    address royaltyTo; // who may claim the royalty, normally LilypadModules
    bool deterministic; // the engine fixes clock, randomness, network and CPU features
    address strategy; // the one strategy it may be checked by; 0: any that the pool names
    uint16 minAuditBps; // smallest audit rate
    uint96 minSeatFee; // smallest units of the deal's token: what one re-run costs
    uint8 metering; // 0 none, 1 fuel, 2 tokens, 3 bytes
}

/// @notice Who judges and what a seat costs. Protocol 3.3. All zero stands for the Unverified pool.
struct PoolTerms {
    address strategy; // the only contract that may resolve deals of this pool
    address token; // of prices, fees and stakes
    uint96 seatFeeFloor; // smallest units: least fee of a seat
    uint96 seatStake; // smallest units: what a seat locks
    uint96 maxValue; // smallest units: the largest value of a deal
    bytes32 members; // Merkle root of the accounts that may stake; 0: open to all
    uint32 commitWindow; // seconds
    uint32 revealWindow; // seconds
    uint32 appealWindow; // seconds
    bytes32 note; // digest of a description, e.g. the hardware that members must have
}

/// @title Identity of terms: the hash of their EIP-712 struct encoding, without a domain
library TermsLib {
    bytes32 internal constant MODULE_TYPEHASH = keccak256(
        "ModuleTerms(address publisher,bytes32 nameHash,bytes32 manifest,bytes32 parent,uint16 royaltyBps,address royaltyTo,bool deterministic,address strategy,uint16 minAuditBps,uint96 minSeatFee,uint8 metering)"
    );
    bytes32 internal constant POOL_TYPEHASH = keccak256(
        "PoolTerms(address strategy,address token,uint96 seatFeeFloor,uint96 seatStake,uint96 maxValue,bytes32 members,uint32 commitWindow,uint32 revealWindow,uint32 appealWindow,bytes32 note)"
    );

    /// @return The version id of `terms`.
    function id(ModuleTerms memory terms) internal pure returns (VersionId) {
        return VersionId.wrap(keccak256(abi.encode(MODULE_TYPEHASH, terms)));
    }

    /// @return The pool id of `terms`; zero when they name no strategy (then every other field has to be zero too).
    function id(PoolTerms memory terms) internal pure returns (PoolId) {
        return terms.strategy == address(0) ? UNVERIFIED : PoolId.wrap(keccak256(abi.encode(POOL_TYPEHASH, terms)));
    }
}

/// @notice Module terms as the core reads them: the eleven words of their ABI encoding, in memory.
type ModuleWords is uint256;

/// @notice Pool terms likewise: ten words.
type PoolWords is uint256;

using TermWordsLib for ModuleWords global;
using TermWordsLib for PoolWords global;

/// @title Terms as plain words
/// @dev The core takes terms as arrays of words and hashes them as they are: decoding them as structs would cost it 1 kB of
/// code. `fits` is what the ABI decoder would have checked. The value is a pointer to the words.
library TermWordsLib {
    function moduleWords(bytes32[11] memory words) internal pure returns (ModuleWords terms) {
        // Safe: only keeps the pointer.
        assembly ("memory-safe") {
            terms := words
        }
    }

    function poolWords(bytes32[10] memory words) internal pure returns (PoolWords terms) {
        // Safe: only keeps the pointer.
        assembly ("memory-safe") {
            terms := words
        }
    }

    function id(ModuleWords terms) internal pure returns (VersionId) {
        return VersionId.wrap(_hash(TermsLib.MODULE_TYPEHASH, ModuleWords.unwrap(terms), 352));
    }

    function id(PoolWords terms) internal pure returns (PoolId) {
        if (strategy(terms).isZero()) return UNVERIFIED;
        return PoolId.wrap(_hash(TermsLib.POOL_TYPEHASH, PoolWords.unwrap(terms), 320));
    }

    /// @return Whether every field has the width that the type string says.
    function fits(ModuleWords terms) internal pure returns (bool) {
        uint256 p = ModuleWords.unwrap(terms);
        uint256 accounts = _at(p, 0) | _at(p, 5) | _at(p, 7);
        uint256 rates = _at(p, 4) | _at(p, 8);
        return accounts >> 160 | rates >> 16 | _at(p, 9) >> 96 | _at(p, 6) >> 1 | _at(p, 10) >> 8 == 0;
    }

    /// @return Whether every field has the width that the type string says, and all are zero when no strategy is named.
    function fits(PoolWords terms) internal pure returns (bool) {
        uint256 p = PoolWords.unwrap(terms);
        uint256 amounts = _at(p, 2) | _at(p, 3) | _at(p, 4);
        uint256 windows = _at(p, 6) | _at(p, 7) | _at(p, 8);
        uint256 named = _at(p, 0);
        if (named == 0) return _at(p, 1) | amounts | windows | _at(p, 5) | _at(p, 9) == 0;
        return (named | _at(p, 1)) >> 160 | amounts >> 96 | windows >> 32 == 0;
    }

    function publisher(ModuleWords terms) internal pure returns (Address) {
        return Address.wrap(_at(ModuleWords.unwrap(terms), 0));
    }

    function royaltyBps(ModuleWords terms) internal pure returns (uint256) {
        return _at(ModuleWords.unwrap(terms), 4);
    }

    function royaltyTo(ModuleWords terms) internal pure returns (Address) {
        return Address.wrap(_at(ModuleWords.unwrap(terms), 5));
    }

    function deterministic(ModuleWords terms) internal pure returns (bool) {
        return _at(ModuleWords.unwrap(terms), 6) != 0;
    }

    function strategy(ModuleWords terms) internal pure returns (Address) {
        return Address.wrap(_at(ModuleWords.unwrap(terms), 7));
    }

    function minAuditBps(ModuleWords terms) internal pure returns (uint256) {
        return _at(ModuleWords.unwrap(terms), 8);
    }

    function minSeatFee(ModuleWords terms) internal pure returns (uint256) {
        return _at(ModuleWords.unwrap(terms), 9);
    }

    function strategy(PoolWords terms) internal pure returns (Address) {
        return Address.wrap(_at(PoolWords.unwrap(terms), 0));
    }

    function token(PoolWords terms) internal pure returns (Address) {
        return Address.wrap(_at(PoolWords.unwrap(terms), 1));
    }

    function seatFeeFloor(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 2);
    }

    function seatStake(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 3);
    }

    function maxValue(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 4);
    }

    function commitWindow(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 6);
    }

    function revealWindow(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 7);
    }

    function appealWindow(PoolWords terms) internal pure returns (uint256) {
        return _at(PoolWords.unwrap(terms), 8);
    }

    function _at(uint256 pointer, uint256 index) private pure returns (uint256 word) {
        // Safe: reads inside the array that the pointer was made from.
        assembly ("memory-safe") {
            word := mload(add(pointer, shl(5, index)))
        }
    }

    /// @dev keccak256 of the type hash and `size` bytes at `pointer`.
    function _hash(bytes32 typeHash, uint256 pointer, uint256 size) private pure returns (bytes32 result) {
        // Safe: copies into free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            mcopy(add(free, 32), pointer, size)
            result := keccak256(free, add(size, 32))
        }
    }
}
