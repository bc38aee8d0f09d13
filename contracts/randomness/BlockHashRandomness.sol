// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";
import {BlockPeriods} from "./BlockPeriods.sol";

/// @title Seeds from block hashes
/// @notice For development chains: whoever builds the deciding block can grind its hash. Protocol 6.4.
/// The seed of period p is the hash of block p * periodBlocks + LOOKAHEAD.
contract BlockHashRandomness is BlockPeriods {
    mapping(uint32 period => bytes32 seed) private _recorded;

    constructor(uint32 periodBlocks_, uint32 fastestBlockMillis_, uint32 slowestBlockMillis_)
        BlockPeriods(2, periodBlocks_, fastestBlockMillis_, slowestBlockMillis_)
    {}

    /// @inheritdoc IRandomness
    function seed(uint32 period) external view returns (SeedStatus, bytes32) {
        uint256 deciding = _decidingBlock(period);
        if (block.number <= deciding) return (SeedStatus.Pending, 0);
        bytes32 value = blockhash(deciding); // cheapest source first: zero beyond 256 blocks
        if (value == 0) value = _recorded[period];
        if (value == 0) value = _historyHash(deciding);
        return value == 0 ? (SeedStatus.Expired, bytes32(0)) : (SeedStatus.Known, value);
    }

    /// @inheritdoc IRandomness
    function record(uint32 period, bytes calldata) external returns (bytes32 value) {
        value = _recorded[period];
        if (value != 0) return value;
        uint256 deciding = _decidingBlock(period);
        if (block.number <= deciding) revert SeedNotKnown(period, deciding);
        value = blockhash(deciding);
        if (value == 0) value = _historyHash(deciding);
        if (value == 0) revert SeedLost(period);
        _recorded[period] = value;
        emit SeedRecorded(period, value, msg.sender);
    }
}
