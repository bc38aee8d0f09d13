// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";
import {BlockHeader} from "./BlockHeader.sol";
import {BlockPeriods} from "./BlockPeriods.sol";

/// @title Seeds from the randomness of Ethereum's beacon chain
/// @notice The seed of period p is the `prevrandao` of block p * periodBlocks + LOOKAHEAD, proved by that block's header
/// against the hash that the chain still knows. Protocol 6.4.
///
/// Recording. No opcode answers a past `prevrandao`, so a seed is Pending until somebody has recorded it, although anyone can
/// read it in the header. Whoever wants to settle records first, once for everybody. When nobody did while the block's hash
/// could be had ({lifetime}), the seed is Expired and every deal that hangs on it is audited for certain: not recording never
/// spares a deal.
///
/// Lookahead. 132 blocks are at least four epochs and four slots. Who proposes in an epoch is fixed by the mix of two epochs
/// before, so at a period's end nobody knows the value, nor who will have the last word on it.
///
/// Bias. `prevrandao` of block n is the mix after block n - 1. The proposer of block n - 1 knows it first, and may leave its
/// slot empty: then the next proposer makes block n - 1 and mixes in a value that the first one does not know. That is one roll
/// more, for the price of a block's income; the proposer of block n itself changes nothing by skipping. Whoever has the last k
/// slots in a row chooses among at most 2^k values that it knows. Since assignments come after the submission, a party with the
/// share s of all stake gets its one roll more for a fraction s of the periods, chosen by chance.
contract PrevrandaoRandomness is BlockPeriods {
    mapping(uint32 period => bytes32 seed) private _recorded;

    /// @notice The proof is no header of the deciding block; hashes found and needed.
    error HeaderMismatch(uint32 period, bytes32 found, bytes32 needed);
    /// @notice The deciding block's mix is zero: this chain has no `prevrandao`.
    error MixMissing(uint32 period);

    constructor(uint32 periodBlocks_, uint32 fastestBlockMillis_, uint32 slowestBlockMillis_)
        BlockPeriods(132, periodBlocks_, fastestBlockMillis_, slowestBlockMillis_)
    {}

    /// @inheritdoc IRandomness
    function seed(uint32 period) external view returns (SeedStatus, bytes32) {
        bytes32 value = _recorded[period];
        if (value != 0) return (SeedStatus.Known, value);
        uint256 deciding = _decidingBlock(period);
        bool lost = block.number > deciding && _hashOf(deciding) == 0;
        return (lost ? SeedStatus.Expired : SeedStatus.Pending, bytes32(0));
    }

    /// @inheritdoc IRandomness
    /// @dev The proof is the RLP of the deciding block's header. Also reverts with HeaderMismatch, MixMissing and the errors of
    /// {BlockHeader}.
    function record(uint32 period, bytes calldata proof) external returns (bytes32 value) {
        value = _recorded[period];
        if (value != 0) return value;
        uint256 deciding = _decidingBlock(period);
        if (block.number <= deciding) revert SeedNotKnown(period, deciding);
        bytes32 needed = _hashOf(deciding);
        if (needed == 0) revert SeedLost(period);
        if (keccak256(proof) != needed) revert HeaderMismatch(period, keccak256(proof), needed);
        value = BlockHeader.mixOf(proof, deciding);
        if (value == 0) revert MixMissing(period);
        _recorded[period] = value;
        emit SeedRecorded(period, value, msg.sender);
    }

    /// @dev The hash of a past block, 0 when the chain has forgotten it.
    function _hashOf(uint256 number) private view returns (bytes32 value) {
        value = blockhash(number);
        if (value == 0) value = _historyHash(number);
    }
}
