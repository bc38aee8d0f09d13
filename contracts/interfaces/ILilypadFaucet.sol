// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Test tokens for everybody, a little at a time
/// @notice Gives away what somebody sent to it: a fixed amount per account and interval, and not more than a fixed amount to
/// all accounts together per interval, so that a flood of fresh accounts empties it slowly. Nobody owns it and nothing but a
/// drip takes tokens out. It refuses to exist on chains whose coin has a price. Protocol 2.
/// Assumption: the token is a plain ERC-20.
interface ILilypadFaucet {
    /// @notice `account` got `amount` (smallest units); `by` asked for it.
    event Dripped(address indexed account, uint256 amount, address indexed by);

    error ChainIsProduction(uint256 chainId);
    error LimitsInvalid(uint256 amount, uint256 interval, uint256 mostPerInterval);
    error DrippedBefore(address account, uint256 nextAt, uint256 time);
    error IntervalUsedUp(uint256 given, uint256 mostPerInterval, uint256 nextAt);
    error FaucetEmpty(uint256 has, uint256 needed);

    /// @notice Sends one portion to `account`. Anyone may call, so that somebody with gas can help one without.
    /// Emits {Dripped}. Reverts with DrippedBefore, IntervalUsedUp, FaucetEmpty.
    /// @dev Calls the token last.
    function drip(address account) external;

    /// @notice Unix second from which `account` may get its next portion; 0 when it never had one.
    function nextDripAt(address account) external view returns (uint256);

    /// @notice What can still be given to all together until `until` (unix seconds), smallest units.
    function leftInInterval() external view returns (uint256 left, uint256 until);
}
