// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// @title Periods of blocks, each decided by one block, and the block hashes that a chain still knows
/// @notice The clock of the sources that read the chain itself: period p is decided by block p * periodBlocks + LOOKAHEAD.
/// Hashes come from the opcode (256 blocks) and, where the chain has it, from the history contract of EIP-2935 (8,191).
abstract contract BlockPeriods is IRandomness {
    /// @dev The history contract of EIP-2935, which serves the last 8191 block hashes.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 private constant HISTORY_BLOCKS = 8191;
    uint256 private constant OPCODE_BLOCKS = 256;

    /// @notice Blocks from a period's first block to the one that decides its seed.
    uint256 public immutable LOOKAHEAD;
    /// @inheritdoc IRandomness
    uint32 public immutable periodBlocks;
    /// @notice Milliseconds between blocks at the fastest and at the slowest usual rate.
    uint32 public immutable fastestBlockMillis;
    uint32 public immutable slowestBlockMillis;
    /// @notice Whether the history contract of EIP-2935 served this chain's block hashes when this one was deployed.
    bool public immutable hasHistory;

    error PeriodTooShort(uint32 blocks, uint256 least);
    error BlockTimesInvalid(uint32 fastestMillis, uint32 slowestMillis);

    constructor(uint256 lookahead, uint32 periodBlocks_, uint32 fastestBlockMillis_, uint32 slowestBlockMillis_) {
        if (periodBlocks_ <= lookahead) revert PeriodTooShort(periodBlocks_, lookahead + 1);
        if (fastestBlockMillis_ == 0 || slowestBlockMillis_ < fastestBlockMillis_) {
            revert BlockTimesInvalid(fastestBlockMillis_, slowestBlockMillis_);
        }
        LOOKAHEAD = lookahead;
        periodBlocks = periodBlocks_;
        fastestBlockMillis = fastestBlockMillis_;
        slowestBlockMillis = slowestBlockMillis_;
        // Its code alone proves nothing: nobody may fill it, or it may count the blocks of another clock (rollups). An
        // overstated life would let judge windows outlive their seeds.
        bytes32 parent = block.number == 0 ? bytes32(0) : blockhash(block.number - 1);
        hasHistory = parent != 0 && _askHistory(block.number - 1) == parent;
    }

    /// @inheritdoc IRandomness
    function currentPeriod() external view returns (uint32) {
        return uint32(block.number / periodBlocks);
    }

    /// @inheritdoc IRandomness
    function lifetime() external view returns (uint32) {
        return _secondsDown((hasHistory ? HISTORY_BLOCKS : OPCODE_BLOCKS) * fastestBlockMillis);
    }

    /// @inheritdoc IRandomness
    function delay() external view returns (uint32) {
        return _secondsDown((uint256(periodBlocks) + LOOKAHEAD + 1) * slowestBlockMillis + 999);
    }

    function _decidingBlock(uint32 period) internal view returns (uint256) {
        return uint256(period) * periodBlocks + LOOKAHEAD;
    }

    /// @dev The hash of a past block from the history contract; 0 where that does not know it.
    function _historyHash(uint256 number) internal view returns (bytes32) {
        return hasHistory ? _askHistory(number) : bytes32(0);
    }

    /// @dev EIP-2935: 32 bytes of block number in, its hash out; reverts outside its window. Zero where nothing answers.
    function _askHistory(uint256 number) private view returns (bytes32) {
        (bool ok, bytes memory answer) = HISTORY.staticcall(abi.encode(number));
        return ok && answer.length == 32 ? bytes32(answer) : bytes32(0);
    }

    /// @dev At most 2^32 - 1, since what is longer makes no difference to anybody.
    function _secondsDown(uint256 millis) private pure returns (uint32) {
        uint256 time = millis / 1000;
        return time > type(uint32).max ? type(uint32).max : uint32(time);
    }
}
