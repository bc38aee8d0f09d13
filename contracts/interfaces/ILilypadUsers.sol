// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The six actors. In a set of roles, role r is bit 1 << r.
enum Role {
    Creator,
    Provider,
    Publisher,
    Solver,
    Mediator,
    Directory
}

/// @title The public directory: who offers what, and where it answers
/// @notice Anyone joins for the price of gas and speaks for itself only; being listed says nothing about trust (stakes and
/// curated lists do). All costs are constant: an account has at most six roles and four endpoints. Protocol 10.
/// @dev Lists keep no order: when somebody leaves, the last one takes its place. Read all pages at one block.
interface ILilypadUsers {
    /// @notice The record of `account` from now on. `metadata` is a sha2-256 digest, or 0.
    event UserJoined(address indexed account, uint8 roles, bytes32 metadata, string[] endpoints);
    event UserUpdated(address indexed account, uint8 roles, bytes32 metadata, string[] endpoints);
    event UserLeft(address indexed account);

    error UserJoinedBefore(address account);
    error UserUnknown(address account);
    error RolesInvalid(address account, uint8 roles);
    error EndpointsTooMany(address account, uint256 found, uint256 most);
    error EndpointTooLong(address account, uint256 index, uint256 found, uint256 most);

    /// @notice Lists the caller under each of `roles`. Emits {UserJoined}.
    /// Reverts with UserJoinedBefore, RolesInvalid (no role, or a bit without a role), EndpointsTooMany, EndpointTooLong.
    /// @param roles Set of roles, bit 1 << Role each; at least one.
    /// @param metadata sha2-256 of a JSON document about the account, one raw block; 0: none.
    /// @param endpoints At most 4 URLs of at most 200 bytes each, the preferred one first.
    function join(uint8 roles, bytes32 metadata, string[] calldata endpoints) external;

    /// @notice Replaces the caller's whole record; roles that it drops leave their lists at once. Emits {UserUpdated}.
    /// Reverts with UserUnknown, and as join.
    function update(uint8 roles, bytes32 metadata, string[] calldata endpoints) external;

    /// @notice Removes the caller from all lists. Emits {UserLeft}. Reverts with UserUnknown.
    function quit() external;

    /// @notice The record of an account; roles 0: not listed.
    function userOf(address account)
        external
        view
        returns (uint8 roles, bytes32 metadata, string[] memory endpoints);

    /// @notice How many accounts have a role.
    function countOf(Role role) external view returns (uint256);

    /// @notice Accounts `start` to `start + most - 1` of a role's list, fewer at its end. Cost grows with `most`.
    function usersOf(Role role, uint256 start, uint256 most) external view returns (address[] memory accounts);
}
