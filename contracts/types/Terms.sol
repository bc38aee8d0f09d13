// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {VersionId, PoolId, UNVERIFIED} from "./Ids.sol";

/// @notice What a module version promises for ever. Protocol 3.3.
/// @dev Numbers are words whose width `fits` checks: narrower types would cost the core 1 kB of code.
struct ModuleTerms {
    address publisher; // account under which the name stands
    bytes32 nameHash; // keccak256 of "name:version"
    bytes32 manifest; // sha2-256 of the canonical manifest, one raw block
    VersionId parent; // the version this one was forked from, or 0
    uint256 royaltyBps; // of gross, at most 3000; 16 bits
    address royaltyTo; // who may claim the royalty, normally LilypadModules
    bool deterministic; // the engine fixes clock, randomness, network and CPU features
    address strategy; // the one strategy it may be checked by; 0: any that the pool names
    uint256 minAuditBps; // smallest audit rate; 16 bits
    uint256 minSeatFee; // smallest units of the deal's token: what one re-run costs; 96 bits
    uint256 metering; // 0 none, 1 fuel, 2 tokens, 3 bytes; 8 bits
}

/// @notice Who judges and what a seat costs. Protocol 3.3. All zero stands for the Unverified pool.
struct PoolTerms {
    address strategy; // the only contract that may resolve deals of this pool
    address token; // of prices, fees and stakes
    uint256 seatFeeFloor; // smallest units: least fee of a seat; 96 bits
    uint256 seatStake; // smallest units: what a seat locks; 96 bits
    uint256 maxValue; // smallest units: the largest value of a deal; 96 bits
    bytes32 members; // Merkle root of the accounts that may stake; 0: open to all
    uint256 commitWindow; // seconds; 32 bits
    uint256 revealWindow; // seconds; 32 bits
    uint256 appealWindow; // seconds; 32 bits
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

    /// @return Whether every number has the width that the type string says.
    function fits(ModuleTerms memory terms) internal pure returns (bool) {
        return terms.royaltyBps >> 16 | terms.minAuditBps >> 16 | terms.minSeatFee >> 96 | terms.metering >> 8 == 0;
    }

    /// @return Whether every number has the width that the type string says.
    function fits(PoolTerms memory terms) internal pure returns (bool) {
        uint256 amounts = terms.seatFeeFloor | terms.seatStake | terms.maxValue;
        return amounts >> 96 | (terms.commitWindow | terms.revealWindow | terms.appealWindow) >> 32 == 0;
    }

    /// @return The version id of `terms`.
    function id(ModuleTerms memory terms) internal pure returns (VersionId) {
        return VersionId.wrap(keccak256(abi.encode(MODULE_TYPEHASH, terms)));
    }

    /// @return The pool id of `terms`; zero when they name no strategy (then every other field has to be zero too).
    function id(PoolTerms memory terms) internal pure returns (PoolId) {
        return terms.strategy == address(0) ? UNVERIFIED : PoolId.wrap(keccak256(abi.encode(POOL_TYPEHASH, terms)));
    }
}
