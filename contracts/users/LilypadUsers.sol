// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadUsers, Role} from "../interfaces/ILilypadUsers.sol";

/// @title Directory of accounts by role
contract LilypadUsers is ILilypadUsers {
    uint256 private constant ROLES = 6;
    uint256 private constant ALL_ROLES = (1 << ROLES) - 1;
    uint256 private constant PLACE_BITS = 40;
    uint256 private constant PLACE_MASK = (1 << PLACE_BITS) - 1;
    uint256 private constant MOST_ENDPOINTS = 4;
    uint256 private constant MOST_ENDPOINT_BYTES = 200;

    /// @dev `word`: roles [0..7] | place in the list of role r [8 + 40 r .. 47 + 40 r]; a place counts only while the role is set.
    struct User {
        uint256 word;
        bytes32 metadata;
        string[] endpoints;
    }

    mapping(address account => User) private _users;
    mapping(uint256 role => address[]) private _lists;

    /// @inheritdoc ILilypadUsers
    function join(uint8 roles, bytes32 metadata, string[] calldata endpoints) external {
        if (_users[msg.sender].word != 0) revert UserJoinedBefore(msg.sender);
        _write(roles, metadata, endpoints);
        emit UserJoined(msg.sender, roles, metadata, endpoints);
    }

    /// @inheritdoc ILilypadUsers
    function update(uint8 roles, bytes32 metadata, string[] calldata endpoints) external {
        if (_users[msg.sender].word == 0) revert UserUnknown(msg.sender);
        _write(roles, metadata, endpoints);
        emit UserUpdated(msg.sender, roles, metadata, endpoints);
    }

    /// @inheritdoc ILilypadUsers
    function quit() external {
        if (_users[msg.sender].word == 0) revert UserUnknown(msg.sender);
        _setRoles(0);
        delete _users[msg.sender];
        emit UserLeft(msg.sender);
    }

    function _write(uint8 roles, bytes32 metadata, string[] calldata endpoints) private {
        if (roles == 0 || roles > ALL_ROLES) revert RolesInvalid(msg.sender, roles);
        if (endpoints.length > MOST_ENDPOINTS) revert EndpointsTooMany(msg.sender, endpoints.length, MOST_ENDPOINTS);
        for (uint256 i = 0; i < endpoints.length; i++) {
            uint256 size = bytes(endpoints[i]).length;
            if (size > MOST_ENDPOINT_BYTES) revert EndpointTooLong(msg.sender, i, size, MOST_ENDPOINT_BYTES);
        }
        _setRoles(roles);
        User storage user = _users[msg.sender];
        user.metadata = metadata;
        user.endpoints = endpoints;
    }

    /// @dev Enters and leaves the lists in which the caller's old and new roles differ.
    function _setRoles(uint256 roles) private {
        uint256 word = _users[msg.sender].word;
        uint256 changed = (word ^ roles) & ALL_ROLES;
        for (uint256 role = 0; role < ROLES; role++) {
            if (changed >> role & 1 == 0) continue;
            word = roles >> role & 1 == 1 ? _enter(role, word) : _leave(role, word);
        }
        _users[msg.sender].word = word & ~ALL_ROLES | roles;
    }

    /// @return The caller's word with its new place.
    function _enter(uint256 role, uint256 word) private returns (uint256) {
        uint256 place = _lists[role].length;
        _lists[role].push(msg.sender);
        return _withPlace(word, role, place);
    }

    /// @dev The last of the list takes the free place. It may be the caller itself, whose word is in memory.
    function _leave(uint256 role, uint256 word) private returns (uint256) {
        address[] storage list = _lists[role];
        uint256 place = word >> _shift(role) & PLACE_MASK;
        address last = list[list.length - 1];
        list.pop();
        if (last != msg.sender) {
            list[place] = last;
            _users[last].word = _withPlace(_users[last].word, role, place);
        }
        return _withPlace(word, role, 0);
    }

    function _withPlace(uint256 word, uint256 role, uint256 place) private pure returns (uint256) {
        return word & ~(PLACE_MASK << _shift(role)) | place << _shift(role);
    }

    function _shift(uint256 role) private pure returns (uint256) {
        return 8 + PLACE_BITS * role;
    }

    // ---- views

    /// @inheritdoc ILilypadUsers
    function userOf(address account)
        external
        view
        returns (uint8 roles, bytes32 metadata, string[] memory endpoints)
    {
        User storage user = _users[account];
        return (uint8(user.word), user.metadata, user.endpoints);
    }

    /// @inheritdoc ILilypadUsers
    function countOf(Role role) external view returns (uint256) {
        return _lists[uint256(role)].length;
    }

    /// @inheritdoc ILilypadUsers
    function usersOf(Role role, uint256 start, uint256 most) external view returns (address[] memory accounts) {
        address[] storage list = _lists[uint256(role)];
        uint256 available = start < list.length ? list.length - start : 0;
        accounts = new address[](most < available ? most : available);
        for (uint256 i = 0; i < accounts.length; i++) {
            accounts[i] = list[start + i];
        }
    }
}
