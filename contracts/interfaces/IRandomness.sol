// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What is known of a period's seed.
enum SeedStatus {
    Pending, // not knowable by anyone yet
    Known,
    Expired // lost for ever, since nobody recorded it while it lived
}

/// @title A source of seeds that nobody can know, choose or roll again
/// @notice Time is cut into periods; each has one seed, which becomes known a lookahead after the period's first block.
/// Protocol 6.3 and 6.4. The core trusts a source to be pure in its clock: it may not change its answers with the caller.
interface IRandomness {
    /// @notice The seed of `period` was stored for good by `by`.
    event SeedRecorded(uint32 indexed period, bytes32 seed, address by);

    error SeedNotKnown(uint32 period, uint256 knownAfter);
    error SeedLost(uint32 period);

    /// @notice Blocks per period when the clock is `block.number`, so that a caller may compute the period itself; else 0.
    function periodBlocks() external view returns (uint32);

    /// @notice The period that is running now.
    function currentPeriod() external view returns (uint32);

    /// @notice The seed of `period`. `value` is meaningful only when it is Known.
    function seed(uint32 period) external view returns (SeedStatus status, bytes32 value);

    /// @notice Stores the seed of `period` for good; anyone may, once for everybody. Harmless when it is stored already.
    /// Reverts with SeedNotKnown(period, knownAfter) or SeedLost(period).
    /// @param proof What the source needs to believe the value: empty for block hashes, a header for `prevrandao`.
    function record(uint32 period, bytes calldata proof) external returns (bytes32 value);

    /// @notice Seconds for which an unrecorded seed certainly lives, at the fastest block rate.
    function lifetime() external view returns (uint32);

    /// @notice Seconds from a submission to the seed that decides on it, at the slowest usual block rate.
    function delay() external view returns (uint32);
}
