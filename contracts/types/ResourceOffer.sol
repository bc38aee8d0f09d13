// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address, NOBODY, lowAddress} from "./Address.sol";
/// @notice What a provider signs (EIP-712); memory layout as in JobOffer. Protocol 3.2.
struct ResourceOffer {
    bytes32 typeHash;
    Address provider;
    Address token;
    uint256 price; // smallest units: fixed part, net, uint96
    uint256 unitPrice; // smallest units per metered unit, net, uint96
    uint256 maxUnits; // metered units at most, uint64
    uint256 cpuMilli; // thousandths of a core, uint32
    uint256 ramMib; // uint32
    uint256 diskMib; // uint32
    uint256 gpuCount; // uint16
    uint256 vramMib; // per GPU, uint32
    uint256 flags; // capability bits it has, uint64
    bytes32 modules; // Merkle root of version ids; 0: any whose terms say deterministic
    uint256 maxCollateralBps; // of the deal's value, uint32
    uint256 minSubmitWindow; // seconds, uint32
    uint256 maxJudgeWindow; // seconds, uint32
    bytes32 pool; // pool id; 0: Unverified
    Address solver; // 0: any
    uint256 volume; // deals that may be opened on this signature; 2^32 - 1: unlimited, uint32
    uint256 expiry; // unix seconds, the last second at which it may be opened, uint40
    uint256 nonce; // uint32
}

/// @title Dense calldata form of a resource offer with what both offers share
/// @dev Six words, fields from the least significant bit:
/// 0: provider 160 | price 96
/// 1: token 160 | unitPrice 96
/// 2: solver 160 (of both offers; 0: neither names one) | flags 64 | nonce 32
/// 3: cpuMilli 32 | ramMib 32 | diskMib 32 | vramMib 32 | gpuCount 16 | zero 16 | maxCollateralBps 32 | minSubmitWindow 32 | maxJudgeWindow 32
/// 4: maxUnits 64 | expiry 40 | volume 32 | namesSolver 1 | zero 119
/// 5: modules 256
library ResourceOfferLib {
    bytes32 internal constant TYPEHASH = keccak256(
        "ResourceOffer(address provider,address token,uint96 price,uint96 unitPrice,uint64 maxUnits,uint32 cpuMilli,uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,bytes32 modules,uint32 maxCollateralBps,uint32 minSubmitWindow,uint32 maxJudgeWindow,bytes32 pool,address solver,uint32 volume,uint40 expiry,uint32 nonce)"
    );
    uint32 internal constant UNLIMITED = type(uint32).max;

    /// @notice Unpacks the offer.
    /// @return solver The solver that either offer may name.
    /// @return canonical False when a bit that has no meaning is set.
    function load(ResourceOffer memory resource, bytes32[6] calldata words, bytes32 pool)
        internal
        pure
        returns (Address solver, bool canonical)
    {
        resource.typeHash = TYPEHASH;
        uint256 word = uint256(words[0]);
        resource.provider = lowAddress(word);
        resource.price = uint96(word >> 160);
        word = uint256(words[1]);
        resource.token = lowAddress(word);
        resource.unitPrice = uint96(word >> 160);
        word = uint256(words[2]);
        solver = lowAddress(word);
        resource.flags = uint64(word >> 160);
        resource.nonce = uint32(word >> 224);
        word = uint256(words[3]);
        resource.cpuMilli = uint32(word);
        resource.ramMib = uint32(word >> 32);
        resource.diskMib = uint32(word >> 64);
        resource.vramMib = uint32(word >> 96);
        resource.gpuCount = uint16(word >> 128);
        canonical = uint16(word >> 144) == 0;
        resource.maxCollateralBps = uint32(word >> 160);
        resource.minSubmitWindow = uint32(word >> 192);
        resource.maxJudgeWindow = uint32(word >> 224);
        word = uint256(words[4]);
        resource.maxUnits = uint64(word);
        resource.expiry = uint40(word >> 64);
        resource.volume = uint32(word >> 104);
        resource.solver = word >> 136 & 1 == 1 ? solver : NOBODY;
        canonical = canonical && word >> 137 == 0;
        resource.modules = words[5];
        resource.pool = pool;
    }

    /// @return result The EIP-712 struct hash.
    function structHash(ResourceOffer memory resource) internal pure returns (bytes32 result) {
        // Safe: reads the 21 words of the struct, which memory holds one field a word in the order of TYPEHASH.
        assembly ("memory-safe") {
            result := keccak256(resource, 672)
        }
    }
}
