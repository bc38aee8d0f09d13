// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address, NOBODY, lowAddress} from "./Address.sol";
/// @notice What a creator signs (EIP-712). In memory a field is a word (its type's width stands beside it and is
/// enforced by unpacking), in the order of the type string, so that the struct hash is one keccak over the struct. Protocol 3.1.
struct JobOffer {
    bytes32 typeHash;
    Address creator;
    bytes32 module; // version id
    bytes32 inputs; // sha2-256 of the canonical inputs document
    Address token;
    uint256 maxPrice; // smallest units: the most the creator pays, all fees included, uint96
    uint256 maxUnits; // metered units at most, uint64
    uint256 cpuMilli; // thousandths of a core, uint32
    uint256 ramMib; // uint32
    uint256 diskMib; // uint32
    uint256 gpuCount; // uint16
    uint256 vramMib; // per GPU, uint32
    uint256 flags; // capability bits the provider must have, uint64
    uint256 submitWindow; // seconds, uint32
    uint256 judgeWindow; // seconds, uint32
    uint256 collateralBps; // of the deal's value, uint32
    uint256 auditBps; // probability of an audit, uint16
    bytes32 pool; // pool id; 0: Unverified
    Address solver; // 0: any
    uint256 solverFeeBps; // of gross, at most 1000, uint16
    Address provider; // 0: any
    uint256 expiry; // unix seconds, the last second at which it may be opened, uint40
    uint256 nonce; // uint32
}

/// @title Dense calldata form of a job offer
/// @dev Four words, fields from the least significant bit:
/// 0: creator 160 | maxPrice 96
/// 1: inputs 256
/// 2: cpuMilli 32 | ramMib 32 | diskMib 32 | vramMib 32 | gpuCount 16 | auditBps 16 | collateralBps 32 | submitWindow 32 | solverFeeBps 16 | zero 16
/// 3: flags 64 | maxUnits 64 | expiry 40 | nonce 32 | judgeWindow 32 | namesProvider 1 | namesSolver 1 | zero 22
/// Token, module, pool, solver and provider are sent once for both offers.
library JobOfferLib {
    bytes32 internal constant TYPEHASH = keccak256(
        "JobOffer(address creator,bytes32 module,bytes32 inputs,address token,uint96 maxPrice,uint64 maxUnits,uint32 cpuMilli,uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,uint32 submitWindow,uint32 judgeWindow,uint32 collateralBps,uint16 auditBps,bytes32 pool,address solver,uint16 solverFeeBps,address provider,uint40 expiry,uint32 nonce)"
    );

    /// @notice Unpacks the offer's own fields.
    /// @return canonical False when a bit that has no meaning is set.
    function load(JobOffer memory job, bytes32[4] calldata words) internal pure returns (bool canonical) {
        job.typeHash = TYPEHASH;
        uint256 word = uint256(words[0]);
        job.creator = lowAddress(word);
        job.maxPrice = uint96(word >> 160);
        job.inputs = words[1];
        word = uint256(words[2]);
        job.cpuMilli = uint32(word);
        job.ramMib = uint32(word >> 32);
        job.diskMib = uint32(word >> 64);
        job.vramMib = uint32(word >> 96);
        job.gpuCount = uint16(word >> 128);
        job.auditBps = uint16(word >> 144);
        job.collateralBps = uint32(word >> 160);
        job.submitWindow = uint32(word >> 192);
        job.solverFeeBps = uint16(word >> 224);
        canonical = word >> 240 == 0;
        word = uint256(words[3]);
        job.flags = uint64(word);
        job.maxUnits = uint64(word >> 64);
        job.expiry = uint40(word >> 128);
        job.nonce = uint32(word >> 168);
        job.judgeWindow = uint32(word >> 200);
        canonical = canonical && word >> 234 == 0;
    }

    /// @notice Fills in what both offers share; provider and solver only where this offer names them.
    function share(
        JobOffer memory job,
        bytes32[4] calldata words,
        Address token,
        bytes32 module,
        bytes32 pool,
        Address solver,
        Address provider
    ) internal pure {
        job.token = token;
        job.module = module;
        job.pool = pool;
        uint256 word = uint256(words[3]);
        job.provider = word >> 232 & 1 == 1 ? provider : NOBODY;
        job.solver = word >> 233 & 1 == 1 ? solver : NOBODY;
    }

    /// @return result The EIP-712 struct hash.
    function structHash(JobOffer memory job) internal pure returns (bytes32 result) {
        // Safe: reads the 23 words of the struct, which memory holds one field a word in the order of TYPEHASH.
        assembly ("memory-safe") {
            result := keccak256(job, 736)
        }
    }
}
