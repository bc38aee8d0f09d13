// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address, lowAddress} from "./Address.sol";
import {HashLib} from "./Hash.sol";

/// @notice The terms of a deal, a field a word. Calldata and events have them in the dense form of DealLib, whose EIP-712
/// digest is the deal id; the chain keeps one word, whoever acts brings the record. Protocol 3.4.
struct Deal {
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

/// @notice The fourth word of a record: what settlement needs besides accounts and prices.
type DealNumbers is uint256;

using DealNumbersLib for DealNumbers global;

library DealNumbersLib {
    function maxUnits(DealNumbers numbers) internal pure returns (uint256) {
        return uint64(DealNumbers.unwrap(numbers));
    }

    /// @dev Above zero exactly in verified pools.
    function seatFee(DealNumbers numbers) internal pure returns (uint256) {
        return uint96(DealNumbers.unwrap(numbers) >> 64);
    }

    function auditBps(DealNumbers numbers) internal pure returns (uint256) {
        return uint16(DealNumbers.unwrap(numbers) >> 160);
    }

    function royaltyBps(DealNumbers numbers) internal pure returns (uint256) {
        return uint16(DealNumbers.unwrap(numbers) >> 176);
    }

    function solverFeeBps(DealNumbers numbers) internal pure returns (uint256) {
        return uint16(DealNumbers.unwrap(numbers) >> 192);
    }

    function judgeWindow(DealNumbers numbers) internal pure returns (uint256) {
        return uint32(DealNumbers.unwrap(numbers) >> 208);
    }
}

/// @title Dense form of a deal record
/// @dev Twelve words, every bit has a meaning, so a record has one encoding. Fields from the least significant bit:
/// 0: creator 160 | collateral 96
/// 1: provider 160 | price 96
/// 2: token 160 | unitPrice 96
/// 3: maxUnits 64 | seatFee 96 | auditBps 16 | royaltyBps 16 | solverFeeBps 16 | judgeWindow 32 | zero 16
/// 4: module
/// 5: pool
/// 6: solver 160 | low 96 bits of royaltyTo
/// 7: strategy 160 | high 64 bits of royaltyTo | submitWindow 32
/// 8: publisher 160 | seatFloor 96
/// 9: resourceOfferHash
/// 10: inputs
/// 11: jobOfferHash
/// The sixteen zero bits of word 3 are checked.
/// What a settlement does not read stands behind two nested structs, so that it brings two hashes instead: Accrual names the
/// word in which fees accrue, Details (words 6 to 11) has all the rest.
library DealLib {
    error DealEncodingNotCanonical(bytes32 word);

    bytes32 internal constant TYPEHASH = keccak256(
        "Deal(bytes32 creator,bytes32 provider,bytes32 token,bytes32 numbers,Accrual accrual,Details details)Accrual(address token,address solver,address strategy,bytes32 module,bytes32 pool)Details(bytes32 solver,bytes32 strategy,bytes32 publisher,bytes32 resourceOfferHash,bytes32 inputs,bytes32 jobOfferHash)"
    );
    bytes32 internal constant ACCRUAL_TYPEHASH =
        keccak256("Accrual(address token,address solver,address strategy,bytes32 module,bytes32 pool)");
    bytes32 internal constant DETAILS_TYPEHASH = keccak256(
        "Details(bytes32 solver,bytes32 strategy,bytes32 publisher,bytes32 resourceOfferHash,bytes32 inputs,bytes32 jobOfferHash)"
    );

    /// @notice Unpacks a record. Reverts with DealEncodingNotCanonical when a meaningless bit is set.
    function load(bytes32[12] memory words) internal pure returns (Deal memory deal) {
        uint256 word = uint256(words[0]);
        deal.creator = lowAddress(word);
        deal.collateral = word >> 160;
        word = uint256(words[1]);
        deal.provider = lowAddress(word);
        deal.price = word >> 160;
        word = uint256(words[2]);
        deal.token = lowAddress(word);
        deal.unitPrice = word >> 160;
        word = uint256(words[3]);
        if (word >> 240 != 0) revert DealEncodingNotCanonical(bytes32(word));
        DealNumbers numbers = DealNumbers.wrap(word);
        deal.maxUnits = numbers.maxUnits();
        deal.seatFee = numbers.seatFee();
        deal.auditBps = numbers.auditBps();
        deal.royaltyBps = numbers.royaltyBps();
        deal.solverFeeBps = numbers.solverFeeBps();
        deal.judgeWindow = numbers.judgeWindow();
        deal.module = words[4];
        deal.pool = words[5];
        word = uint256(words[6]);
        deal.solver = lowAddress(word);
        uint256 royaltyTo = word >> 160;
        word = uint256(words[7]);
        deal.strategy = lowAddress(word);
        deal.royaltyTo = Address.wrap(royaltyTo | uint256(uint64(word >> 160)) << 96);
        deal.submitWindow = word >> 224;
        word = uint256(words[8]);
        deal.publisher = lowAddress(word);
        deal.seatFloor = word >> 160;
        deal.resourceOfferHash = words[9];
        deal.inputs = words[10];
        deal.jobOfferHash = words[11];
    }

    /// @notice Unpacks what a strategy reads of a record: parties, module, pool and the numbers that its fees and claims follow
    /// from. Everything else stays zero. A meaningless bit makes another hash, hence another deal: it is not looked for.
    function loadJudged(bytes32[12] memory words) internal pure returns (Deal memory deal) {
        uint256 word = uint256(words[0]);
        deal.creator = lowAddress(word);
        deal.collateral = word >> 160;
        word = uint256(words[1]);
        deal.provider = lowAddress(word);
        deal.price = word >> 160;
        word = uint256(words[2]);
        deal.token = lowAddress(word);
        deal.unitPrice = word >> 160;
        DealNumbers numbers = DealNumbers.wrap(uint256(words[3]));
        deal.maxUnits = numbers.maxUnits();
        deal.seatFee = numbers.seatFee();
        deal.auditBps = numbers.auditBps();
        deal.module = words[4];
        deal.pool = words[5];
        deal.solver = lowAddress(uint256(words[6]));
        deal.strategy = lowAddress(uint256(words[7]));
        word = uint256(words[8]);
        deal.publisher = lowAddress(word);
        deal.seatFloor = word >> 160;
    }

    /// @return words The dense form of `deal`.
    function pack(Deal memory deal) internal pure returns (bytes32[12] memory words) {
        words[0] = wordOf(deal.creator, deal.collateral);
        words[1] = wordOf(deal.provider, deal.price);
        words[2] = wordOf(deal.token, deal.unitPrice);
        words[3] = numbersOf(
            deal.maxUnits, deal.seatFee, deal.auditBps, deal.royaltyBps, deal.solverFeeBps, deal.judgeWindow
        );
        words[4] = deal.module;
        words[5] = deal.pool;
        words[6] = wordOf(deal.solver, Address.unwrap(deal.royaltyTo));
        words[7] = wordOf(deal.strategy, Address.unwrap(deal.royaltyTo) >> 96 | deal.submitWindow << 64);
        words[8] = wordOf(deal.publisher, deal.seatFloor);
        words[9] = deal.resourceOfferHash;
        words[10] = deal.inputs;
        words[11] = deal.jobOfferHash;
    }

    /// @return `low` in the lower 160 bits, the lowest 96 bits of `high` above.
    function wordOf(Address low, uint256 high) internal pure returns (bytes32) {
        return bytes32(Address.unwrap(low) | high << 160);
    }

    function numbersOf(
        uint256 maxUnits,
        uint256 seatFee,
        uint256 auditBps,
        uint256 royaltyBps,
        uint256 solverFeeBps,
        uint256 judgeWindow
    ) internal pure returns (bytes32) {
        return bytes32(
            maxUnits | seatFee << 64 | auditBps << 160 | royaltyBps << 176 | solverFeeBps << 192 | judgeWindow << 208
        );
    }

    /// @return The EIP-712 struct hash.
    function structHash(Deal memory deal) internal pure returns (bytes32) {
        return structHash(pack(deal));
    }

    /// @return The EIP-712 struct hash of a record.
    function structHash(bytes32[12] memory words) internal pure returns (bytes32) {
        return hashOf(words, accrualOf(words), detailsOf(words));
    }

    /// @return result Hash of the nested struct Accrual: the place where the deal's fees accrue.
    function accrualOf(bytes32[12] memory words) internal pure returns (bytes32 result) {
        return accrualOf(
            lowAddress(uint256(words[2])), lowAddress(uint256(words[6])), lowAddress(uint256(words[7])), words[4], words[5]
        );
    }

    function accrualOf(Address token, Address solver, Address strategy, bytes32 module, bytes32 pool)
        internal
        pure
        returns (bytes32)
    {
        return HashLib.hash(ACCRUAL_TYPEHASH, token.asBytes32(), solver.asBytes32(), strategy.asBytes32(), module, pool);
    }

    /// @return result Hash of the nested struct Details: words 6 to 11.
    function detailsOf(bytes32[12] memory words) internal pure returns (bytes32 result) {
        bytes32 typeHash = DETAILS_TYPEHASH;
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            mcopy(add(free, 32), add(words, 192), 192)
            result := keccak256(free, 224)
        }
    }

    /// @return result The struct hash from the first four words of a record and its nested hashes.
    function hashOf(bytes32[12] memory words, bytes32 accrual, bytes32 details) internal pure returns (bytes32 result) {
        bytes32 typeHash = TYPEHASH;
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            mcopy(add(free, 32), words, 128)
            mstore(add(free, 160), accrual)
            mstore(add(free, 192), details)
            result := keccak256(free, 224)
        }
    }

    /// @return result The same from what the deals of a settlement share: the first four words and the hash of Accrual.
    function hashOf(bytes32[5] calldata shared, bytes32 details) internal pure returns (bytes32 result) {
        bytes32 typeHash = TYPEHASH;
        // Safe: writes free memory, which it does not keep.
        assembly ("memory-safe") {
            let free := mload(64)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), shared, 160)
            mstore(add(free, 192), details)
            result := keccak256(free, 224)
        }
    }
}
