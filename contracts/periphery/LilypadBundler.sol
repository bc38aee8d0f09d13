// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadBundler} from "../interfaces/ILilypadBundler.sol";
import {Opening} from "../types/Calls.sol";
import {DealId} from "../types/Ids.sol";

/// @title Funding and opening in one transaction
contract LilypadBundler is ILilypadBundler {
    ILilypad public immutable CORE;

    constructor(ILilypad core) {
        CORE = core;
    }

    /// @inheritdoc ILilypadBundler
    function depositAndOpen(Permit[] calldata permits, Opening calldata opening)
        external
        returns (DealId[] memory dealIds)
    {
        _deposit(permits);
        return CORE.open(opening);
    }

    /// @inheritdoc ILilypadBundler
    function depositAndOpenBatch(Permit[] calldata permits, Opening[] calldata openings) external {
        _deposit(permits);
        CORE.openBatch(openings);
    }

    /// @dev The core is trusted; it measures what the token (UNTRUSTED) delivered and credits the owner, never this contract.
    function _deposit(Permit[] calldata permits) private {
        for (uint256 i = 0; i < permits.length; i++) {
            Permit calldata p = permits[i];
            try CORE.depositWithPermit(p.token, p.owner, p.amount, p.deadline, p.v, p.r, p.s) {}
            catch (bytes memory reason) {
                emit DepositSkipped(i, p.owner, p.token, reason);
            }
        }
    }
}
