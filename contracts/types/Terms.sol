// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Address, lowAddress} from "./Address.sol";
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

/// @notice Module terms in calldata and in their id: six dense words, fields from the least significant bit.
struct ModuleWords {
    bytes32 publisherWord; // publisher 160 | minSeatFee 96
    bytes32 royaltyWord; // royaltyTo 160 | royaltyBps 16 | minAuditBps 16 | metering 8 | deterministic 1 | zero 55
    bytes32 strategyWord; // strategy 160 | zero 96
    bytes32 nameHash;
    bytes32 manifest;
    bytes32 parent;
}

/// @notice Pool terms likewise: five words.
struct PoolWords {
    bytes32 strategyWord; // strategy 160 | seatFeeFloor 96
    bytes32 tokenWord; // token 160 | seatStake 96
    bytes32 limits; // maxValue 96 | commitWindow 32 | revealWindow 32 | appealWindow 32 | zero 64
    bytes32 members;
    bytes32 note;
}

/// @title Identity of terms: the EIP-712 struct hash of their dense words, without a domain
/// @dev Every field is in exactly one place of the words, so equal ids mean equal terms.
library TermsLib {
    bytes32 internal constant MODULE_TYPEHASH = keccak256(
        "ModuleTerms(bytes32 publisherWord,bytes32 royaltyWord,bytes32 strategyWord,bytes32 nameHash,bytes32 manifest,bytes32 parent)"
    );
    bytes32 internal constant POOL_TYPEHASH =
        keccak256("PoolTerms(bytes32 strategyWord,bytes32 tokenWord,bytes32 limits,bytes32 members,bytes32 note)");

    /// @return The version id of `terms`.
    function id(ModuleTerms memory terms) internal pure returns (VersionId) {
        return VersionId.wrap(keccak256(abi.encode(MODULE_TYPEHASH, pack(terms))));
    }

    /// @return The pool id of `terms`; zero when they name no strategy (then every other field has to be zero too).
    function id(PoolTerms memory terms) internal pure returns (PoolId) {
        return terms.strategy == address(0) ? UNVERIFIED : PoolId.wrap(keccak256(abi.encode(POOL_TYPEHASH, pack(terms))));
    }

    function pack(ModuleTerms memory terms) internal pure returns (ModuleWords memory) {
        uint256 rates = uint256(terms.royaltyBps) | uint256(terms.minAuditBps) << 16 | uint256(terms.metering) << 32
            | SafeCast.toUint(terms.deterministic) << 40;
        return ModuleWords(
            _word(terms.publisher, terms.minSeatFee),
            _word(terms.royaltyTo, rates),
            _word(terms.strategy, 0),
            terms.nameHash,
            terms.manifest,
            VersionId.unwrap(terms.parent)
        );
    }

    function pack(PoolTerms memory terms) internal pure returns (PoolWords memory) {
        uint256 limits = uint256(terms.maxValue) | uint256(terms.commitWindow) << 96 | uint256(terms.revealWindow) << 128
            | uint256(terms.appealWindow) << 160;
        return PoolWords(
            _word(terms.strategy, terms.seatFeeFloor),
            _word(terms.token, terms.seatStake),
            bytes32(limits),
            terms.members,
            terms.note
        );
    }

    function _word(address low, uint256 high) private pure returns (bytes32) {
        return bytes32(uint256(uint160(low)) | high << 160);
    }
}

using TermWordsLib for ModuleWords global;
using TermWordsLib for PoolWords global;

/// @title Reading terms from calldata
/// @dev `fits`: no bit is set that has no meaning, so that terms have one form.
library TermWordsLib {
    function id(ModuleWords calldata terms) internal pure returns (VersionId result) {
        bytes32 typeHash = TermsLib.MODULE_TYPEHASH;
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), terms, 192)
            result := keccak256(free, 224)
        }
    }

    function id(PoolWords calldata terms) internal pure returns (PoolId result) {
        if (strategy(terms).isZero()) return UNVERIFIED;
        bytes32 typeHash = TermsLib.POOL_TYPEHASH;
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), terms, 160)
            result := keccak256(free, 192)
        }
    }

    function fits(ModuleWords calldata terms) internal pure returns (bool) {
        return uint256(terms.royaltyWord) >> 201 | uint256(terms.strategyWord) >> 160 == 0;
    }

    /// @dev Terms that name no strategy have to be all zero.
    function fits(PoolWords calldata terms) internal pure returns (bool) {
        if (!strategy(terms).isZero()) return uint256(terms.limits) >> 192 == 0;
        return terms.strategyWord | terms.tokenWord | terms.limits | terms.members | terms.note == 0;
    }

    function publisher(ModuleWords calldata terms) internal pure returns (Address) {
        return lowAddress(uint256(terms.publisherWord));
    }

    function minSeatFee(ModuleWords calldata terms) internal pure returns (uint256) {
        return uint256(terms.publisherWord) >> 160;
    }

    function royaltyTo(ModuleWords calldata terms) internal pure returns (Address) {
        return lowAddress(uint256(terms.royaltyWord));
    }

    function royaltyBps(ModuleWords calldata terms) internal pure returns (uint256) {
        return uint16(uint256(terms.royaltyWord) >> 160);
    }

    function minAuditBps(ModuleWords calldata terms) internal pure returns (uint256) {
        return uint16(uint256(terms.royaltyWord) >> 176);
    }

    function deterministic(ModuleWords calldata terms) internal pure returns (bool) {
        return uint256(terms.royaltyWord) >> 200 & 1 != 0;
    }

    function strategy(ModuleWords calldata terms) internal pure returns (Address) {
        return lowAddress(uint256(terms.strategyWord));
    }

    function strategy(PoolWords calldata terms) internal pure returns (Address) {
        return lowAddress(uint256(terms.strategyWord));
    }

    function seatFeeFloor(PoolWords calldata terms) internal pure returns (uint256) {
        return uint256(terms.strategyWord) >> 160;
    }

    function token(PoolWords calldata terms) internal pure returns (Address) {
        return lowAddress(uint256(terms.tokenWord));
    }

    function seatStake(PoolWords calldata terms) internal pure returns (uint256) {
        return uint256(terms.tokenWord) >> 160;
    }

    function maxValue(PoolWords calldata terms) internal pure returns (uint256) {
        return uint96(uint256(terms.limits));
    }

    function commitWindow(PoolWords calldata terms) internal pure returns (uint256) {
        return uint32(uint256(terms.limits) >> 96);
    }

    function revealWindow(PoolWords calldata terms) internal pure returns (uint256) {
        return uint32(uint256(terms.limits) >> 128);
    }

    function appealWindow(PoolWords calldata terms) internal pure returns (uint256) {
        return uint32(uint256(terms.limits) >> 160);
    }
}
