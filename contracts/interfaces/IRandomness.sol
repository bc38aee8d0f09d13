// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What is known of a period's seed.
enum SeedStatus {
    Pending, // the chain does not know it yet: too early, or still to be recorded
    Known, // for ever the same
    Expired // lost for ever: nobody recorded it while it lived, or those who make it did not
}

/// @title A source of seeds that nobody can know, choose or roll again
/// @notice Time is cut into periods; each has one seed, which becomes known a lookahead after the period's first block.
/// Protocol 6.3 and 6.4. The core trusts a source to be pure in its clock: it may not change its answers with the caller.
/// In the period before a seed's own, nobody can know the seed. A deal that hangs on an Expired one is audited for certain, so
/// that keeping a seed from being recorded or made never spares anything. A seed that is Pending may be readable elsewhere
/// already, in a header or by the last who adds to it: whoever needs it on the chain records it.
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
    /// Reverts with SeedNotKnown(period, knownAfter), a block or, where the clock is the time, a second, or SeedLost(period).
    /// @param proof What the source needs to believe the value: the header in RLP for `prevrandao`, else nothing.
    function record(uint32 period, bytes calldata proof) external returns (bytes32 value);

    /// @notice Seconds for which a seed that could be Known certainly can be recorded, at the fastest block rate.
    function lifetime() external view returns (uint32);

    /// @notice Seconds from a submission until the seed that decides on it can be Known, at the slowest usual block rate.
    function delay() external view returns (uint32);
}
