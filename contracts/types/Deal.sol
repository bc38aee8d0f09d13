// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address, lowAddress} from "./Address.sol";
import {DealId} from "./Ids.sol";

/// @notice The record of a deal: all its terms. Its EIP-712 digest is the deal id; the chain keeps one word, whoever
/// acts brings the record. Memory layout as in JobOffer. Protocol 3.4.
struct Deal {
    bytes32 typeHash;
    Address creator;
    Address provider;
    Address solver; // 0: none
    Address publisher;
    Address royaltyTo;
    Address strategy; // 0 in the Unverified pool
    Address token;
    bytes32 module; // version id
    bytes32 inputs; // sha2-256 of the canonical inputs document
    bytes32 pool; // pool id; 0: Unverified
    uint256 price; // smallest units, uint96
    uint256 unitPrice; // smallest units per metered unit, uint96
    uint256 maxUnits; // uint64
    uint256 collateral; // smallest units, uint96
    uint256 seatFee; // smallest units, uint96
    uint256 seatFloor; // smallest units: the pool's least seat fee, price of a fetching seat, uint96
    uint256 submitWindow; // seconds, uint32
    uint256 judgeWindow; // seconds, uint32
    uint256 auditBps; // uint16
    uint256 royaltyBps; // uint16
    uint256 solverFeeBps; // uint16
    bytes32 jobOfferHash; // EIP-712 struct hash
    bytes32 resourceOfferHash; // EIP-712 struct hash
}

/// @title Dense calldata form of a deal record
/// @dev Twelve words, every bit has a meaning, so a record has one encoding. Fields from the least significant bit:
/// 0: creator 160 | price 96
/// 1: provider 160 | unitPrice 96
/// 2: solver 160 | collateral 96
/// 3: publisher 160 | seatFee 96
/// 4: royaltyTo 160 | seatFloor 96
/// 5: strategy 160 | maxUnits 64 | submitWindow 32
/// 6: token 160 | judgeWindow 32 | auditBps 16 | royaltyBps 16 | solverFeeBps 16 | zero 16
/// 7: module
/// 8: pool
/// 9: resourceOfferHash
/// 10: inputs
/// 11: jobOfferHash
/// The sixteen zero bits of word 6 are checked.
library DealLib {
    error DealEncodingNotCanonical(bytes32 word);

    bytes32 internal constant TYPEHASH = keccak256(
        "Deal(address creator,address provider,address solver,address publisher,address royaltyTo,address strategy,address token,bytes32 module,bytes32 inputs,bytes32 pool,uint96 price,uint96 unitPrice,uint64 maxUnits,uint96 collateral,uint96 seatFee,uint96 seatFloor,uint32 submitWindow,uint32 judgeWindow,uint16 auditBps,uint16 royaltyBps,uint16 solverFeeBps,bytes32 jobOfferHash,bytes32 resourceOfferHash)"
    );

    /// @notice Unpacks a record. Reverts with DealEncodingNotCanonical when a meaningless bit is set.
    function load(bytes32[12] memory words) internal pure returns (Deal memory deal) {
        bytes32[10] memory shared;
        // Safe: the first ten words of a static array are a shorter one at the same place.
        assembly ("memory-safe") {
            shared := words
        }
        deal = loadShared(shared);
        deal.inputs = words[10];
        deal.jobOfferHash = words[11];
    }

    /// @notice Unpacks the first ten words, which the deals of one settlement share.
    function loadShared(bytes32[10] memory words) internal pure returns (Deal memory deal) {
        deal.typeHash = TYPEHASH;
        uint256 word = uint256(words[0]);
        deal.creator = lowAddress(word);
        deal.price = uint96(word >> 160);
        word = uint256(words[1]);
        deal.provider = lowAddress(word);
        deal.unitPrice = uint96(word >> 160);
        word = uint256(words[2]);
        deal.solver = lowAddress(word);
        deal.collateral = uint96(word >> 160);
        word = uint256(words[3]);
        deal.publisher = lowAddress(word);
        deal.seatFee = uint96(word >> 160);
        word = uint256(words[4]);
        deal.royaltyTo = lowAddress(word);
        deal.seatFloor = uint96(word >> 160);
        word = uint256(words[5]);
        deal.strategy = lowAddress(word);
        deal.maxUnits = uint64(word >> 160);
        deal.submitWindow = uint32(word >> 224);
        word = uint256(words[6]);
        if (word >> 240 != 0) revert DealEncodingNotCanonical(bytes32(word));
        deal.token = lowAddress(word);
        deal.judgeWindow = uint32(word >> 160);
        deal.auditBps = uint16(word >> 192);
        deal.royaltyBps = uint16(word >> 208);
        deal.solverFeeBps = uint16(word >> 224);
        deal.module = words[7];
        deal.pool = words[8];
        deal.resourceOfferHash = words[9];
    }

    /// @return words The dense form of `deal`.
    function pack(Deal memory deal) internal pure returns (bytes32[12] memory words) {
        words[0] = bytes32(Address.unwrap(deal.creator) | deal.price << 160);
        words[1] = bytes32(Address.unwrap(deal.provider) | deal.unitPrice << 160);
        words[2] = bytes32(Address.unwrap(deal.solver) | deal.collateral << 160);
        words[3] = bytes32(Address.unwrap(deal.publisher) | deal.seatFee << 160);
        words[4] = bytes32(Address.unwrap(deal.royaltyTo) | deal.seatFloor << 160);
        words[5] = bytes32(Address.unwrap(deal.strategy) | deal.maxUnits << 160 | deal.submitWindow << 224);
        words[6] = bytes32(
            Address.unwrap(deal.token) | deal.judgeWindow << 160 | deal.auditBps << 192
                | deal.royaltyBps << 208 | deal.solverFeeBps << 224
        );
        words[7] = deal.module;
        words[8] = deal.pool;
        words[9] = deal.resourceOfferHash;
        words[10] = deal.inputs;
        words[11] = deal.jobOfferHash;
    }

    /// @return result The EIP-712 struct hash.
    function structHash(Deal memory deal) internal pure returns (bytes32 result) {
        // Safe: reads the 24 words of the struct, which memory holds one field a word in the order of TYPEHASH.
        assembly ("memory-safe") {
            result := keccak256(deal, 768)
        }
    }
}
