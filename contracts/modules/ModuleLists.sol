// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadModules, ListId} from "../interfaces/ILilypadModules.sol";
import {VersionId} from "../types/Ids.sol";
import {TextRules} from "./TextRules.sol";

/// @title Curated lists: versions that somebody vouches for, under short labels
abstract contract ModuleLists is ILilypadModules {
    struct List {
        address curator;
        bytes32 root;
    }

    mapping(ListId => List) private _lists;
    mapping(ListId => mapping(bytes32 labelHash => VersionId)) private _entries;

    /// @inheritdoc ILilypadModules
    function createList(string calldata text) external returns (ListId list) {
        TextRules.requireName(text);
        list = ListId.wrap(keccak256(abi.encode(msg.sender, keccak256(bytes(text)))));
        if (_lists[list].curator != address(0)) revert ListTaken(list, _lists[list].curator);
        _lists[list].curator = msg.sender;
        emit ListCreated(list, msg.sender, text);
    }

    /// @inheritdoc ILilypadModules
    function updateList(ListId list, string[] calldata removed, ListEntry[] calldata added, bytes32 root) external {
        _requireCurator(list);
        for (uint256 i = 0; i < removed.length; i++) {
            _remove(list, removed[i]);
        }
        for (uint256 i = 0; i < added.length; i++) {
            _add(list, added[i]);
        }
        _lists[list].root = root;
        emit ListRootPublished(list, root);
    }

    /// @inheritdoc ILilypadModules
    function transferList(ListId list, address to) external {
        _requireCurator(list);
        if (to == address(0)) revert AccountInvalid(to);
        _lists[list].curator = to;
        emit ListTransferred(list, msg.sender, to);
    }

    function _add(ListId list, ListEntry calldata entry) private {
        TextRules.requireLabel(entry.label);
        _requireRegistered(entry.version);
        bytes32 label = keccak256(bytes(entry.label));
        VersionId found = _entries[list][label];
        if (VersionId.unwrap(found) != 0) revert ListLabelTaken(list, entry.label, found);
        _entries[list][label] = entry.version;
        emit ListEntryAdded(list, entry.version, entry.label, entry.note);
    }

    function _remove(ListId list, string calldata label) private {
        bytes32 hash = keccak256(bytes(label));
        VersionId version = _entries[list][hash];
        if (VersionId.unwrap(version) == 0) revert ListLabelUnknown(list, label);
        _entries[list][hash] = VersionId.wrap(0);
        emit ListEntryRemoved(list, version, label);
    }

    function _requireCurator(ListId list) private view {
        address curator = _lists[list].curator;
        if (msg.sender != curator) revert ListNotYours(list, curator, msg.sender);
    }

    /// @dev Reverts with VersionUnknown unless the version was published.
    function _requireRegistered(VersionId version) internal view virtual;

    // ---- views

    /// @inheritdoc ILilypadModules
    function listOf(ListId list) external view returns (address curator, bytes32 root) {
        return (_lists[list].curator, _lists[list].root);
    }

    /// @inheritdoc ILilypadModules
    function listed(ListId list, string calldata label) external view returns (VersionId) {
        return _entries[list][keccak256(bytes(label))];
    }
}
