// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadModules, NameId} from "../interfaces/ILilypadModules.sol";
import {ILilypadPayments} from "../interfaces/ILilypadPayments.sol";
import {VersionId} from "../types/Ids.sol";
import {ModuleTerms, TermsLib} from "../types/Terms.sol";
import {ModuleLists} from "./ModuleLists.sol";
import {ModuleNames} from "./ModuleNames.sol";
import {TextRules} from "./TextRules.sol";

/// @title Registry of module versions, and the divider of their royalties
/// @dev Holds no tokens; its ledger account in the core is filled and emptied within one {claim}.
contract LilypadModules is ModuleNames, ModuleLists {
    using TermsLib for ModuleTerms;

    uint256 private constant BPS = 10_000;
    uint256 private constant MAX_ROYALTY_BPS = 3000; // as in the core, which would never open such a version
    uint256 private constant MOST_ANCESTORS = 5;

    /// @dev One word: written once, but for `deprecated`.
    struct Version {
        NameId name; // 0: not registered
        uint16 parentShareBps; // of its income, to its parent
        uint16 forkShareBps; // what forks owe at least
        uint8 depth; // number of ancestors
        bool deprecated;
    }

    ILilypadPayments public immutable CORE;

    mapping(VersionId => Version) private _versions;
    /// @dev By publisher and hash of "name:version", under which a version can be published once.
    mapping(bytes32 labelKey => VersionId) private _labels;

    constructor(ILilypadPayments core) {
        CORE = core;
    }

    // ---- publishing

    /// @inheritdoc ILilypadModules
    function publish(
        ModuleTerms calldata terms,
        string calldata nameText,
        string calldata versionText,
        uint16 parentShareBps,
        uint16 forkShareBps
    ) external returns (VersionId version) {
        TextRules.requireVersion(versionText);
        bytes32 nameHash = keccak256(abi.encodePacked(nameText, ":", versionText));
        if (terms.nameHash != nameHash) revert NameHashMismatch(terms.nameHash, nameHash);
        _requireSound(terms, parentShareBps, forkShareBps);
        (NameId name, bool asOwner) = _nameFor(terms.publisher, nameText);
        // An operator must not be able to send income past its owner.
        if (!asOwner && terms.royaltyTo != address(this)) revert RoyaltyBypassesSplit(terms.royaltyTo);
        if (!asOwner && parentShareBps != 0) revert BpsTooHigh(parentShareBps, 0);
        uint8 depth = _depthBelow(terms, parentShareBps);

        version = terms.id();
        bytes32 label = _labelKey(terms.publisher, nameHash);
        if (VersionId.unwrap(_labels[label]) != 0) revert VersionTaken(terms.publisher, nameHash, _labels[label]);
        _labels[label] = version;
        _versions[version] = Version(name, parentShareBps, forkShareBps, depth, false);
        emit VersionPublished(
            version, name, terms.publisher, terms, nameText, versionText, parentShareBps, forkShareBps, msg.sender
        );
    }

    /// @inheritdoc ILilypadModules
    function deprecate(VersionId version, string calldata note) external {
        Version storage record = _versions[version];
        _requireRegistered(version);
        _requireOwnerOrOperator(record.name);
        if (record.deprecated) revert VersionDeprecatedBefore(version);
        record.deprecated = true;
        emit VersionDeprecated(version, record.name, msg.sender, note);
    }

    /// @dev What can be judged from the arguments alone.
    function _requireSound(ModuleTerms calldata terms, uint256 parentShareBps, uint256 forkShareBps) private view {
        if (terms.manifest == 0) revert ManifestMissing();
        if (terms.royaltyBps > MAX_ROYALTY_BPS) revert BpsTooHigh(terms.royaltyBps, MAX_ROYALTY_BPS);
        if (terms.minAuditBps > BPS) revert BpsTooHigh(terms.minAuditBps, BPS);
        if (parentShareBps > BPS) revert BpsTooHigh(parentShareBps, BPS);
        if (forkShareBps > BPS) revert BpsTooHigh(forkShareBps, BPS);
        if (terms.royaltyBps != 0 && terms.royaltyTo == address(0)) revert AccountInvalid(address(0));
        if (parentShareBps != 0 && terms.royaltyTo != address(this)) revert RoyaltyBypassesSplit(terms.royaltyTo);
    }

    function _depthBelow(ModuleTerms calldata terms, uint16 parentShareBps) private view returns (uint8) {
        if (VersionId.unwrap(terms.parent) == 0) {
            if (parentShareBps != 0) revert ParentMissing(parentShareBps);
            return 0;
        }
        _requireRegistered(terms.parent);
        Version memory parent = _versions[terms.parent];
        if (parentShareBps < parent.forkShareBps) {
            revert ParentShareTooLow(terms.parent, parentShareBps, parent.forkShareBps);
        }
        if (parent.depth == MOST_ANCESTORS) revert LineageTooDeep(terms.parent, MOST_ANCESTORS + 1, MOST_ANCESTORS);
        return parent.depth + 1;
    }

    // ---- royalties

    /// @inheritdoc ILilypadModules
    function claim(address token, ModuleTerms[] calldata line, Source[] calldata sources)
        external
        returns (uint256 amount)
    {
        VersionId earner = line[0].id();
        for (uint256 i = 0; i < sources.length; i++) {
            CORE.sweep(token, earner, sources[i].solver, sources[i].strategy, sources[i].pool);
            amount += CORE.claimRoyalty(token, line[0], sources[i].solver);
        }
        if (amount == 0) return 0;
        (NameId[] memory names, address[] memory payees, uint256[] memory amounts) = _split(line, amount);
        CORE.transferCredit(token, payees, amounts);
        for (uint256 i = 0; i < payees.length; i++) {
            emit RoyaltyPaid(earner, names[i], payees[i], token, amounts[i]);
        }
    }

    /// @dev Walks up the line while there is something to pass on. Each level keeps what it does not pass on, so the parts
    /// add up to `amount`.
    function _split(ModuleTerms[] calldata line, uint256 amount)
        private
        view
        returns (NameId[] memory names, address[] memory payees, uint256[] memory amounts)
    {
        (names, payees, amounts) = (new NameId[](line.length), new address[](line.length), new uint256[](line.length));
        uint256 levels = 0;
        for (uint256 left = amount; left != 0; levels++) {
            if (levels == line.length) revert LineageIncomplete(line[levels - 1].id(), line[levels - 1].parent);
            VersionId version = line[levels].id();
            if (levels != 0 && version != line[levels - 1].parent) {
                revert LineageBroken(levels, version, line[levels - 1].parent);
            }
            Version memory record = _versions[version];
            bool registered = NameId.unwrap(record.name) != 0;
            uint256 passedOn = left * record.parentShareBps / BPS;
            names[levels] = record.name;
            payees[levels] = registered ? _payeeOf(record.name) : line[levels].publisher;
            amounts[levels] = left - passedOn;
            left = passedOn;
        }
        // Safe: shortens three arrays of which `levels` entries were filled.
        assembly ("memory-safe") {
            mstore(names, levels)
            mstore(payees, levels)
            mstore(amounts, levels)
        }
    }

    function _requireRegistered(VersionId version) internal view override {
        if (NameId.unwrap(_versions[version].name) == 0) revert VersionUnknown(version);
    }

    function _labelKey(address publisher, bytes32 nameHash) private pure returns (bytes32) {
        return keccak256(abi.encode(publisher, nameHash));
    }

    // ---- views

    /// @inheritdoc ILilypadModules
    function versionOf(address publisher, string calldata nameText, string calldata versionText)
        external
        view
        returns (VersionId)
    {
        return _labels[_labelKey(publisher, keccak256(abi.encodePacked(nameText, ":", versionText)))];
    }

    /// @inheritdoc ILilypadModules
    function recordOf(VersionId version)
        external
        view
        returns (NameId name, uint16 parentShareBps, uint16 forkShareBps, uint8 depth, bool deprecated)
    {
        Version memory record = _versions[version];
        return (record.name, record.parentShareBps, record.forkShareBps, record.depth, record.deprecated);
    }

    /// @inheritdoc ILilypadModules
    function splitOf(ModuleTerms[] calldata line, uint256 amount)
        external
        view
        returns (address[] memory payees, uint256[] memory amounts)
    {
        (, payees, amounts) = _split(line, amount);
    }
}
