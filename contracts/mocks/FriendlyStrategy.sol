// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadPayments} from "../interfaces/ILilypadPayments.sol";
import {IStrategyHost} from "../interfaces/IStrategyHost.sol";
import {ResultOpening, Verdict} from "../types/Calls.sol";

/// @title Test double: a strategy that answers what it is told, and moves its ledger credit
contract FriendlyStrategy {
    /// @param host The core's resolver.
    function resolve(
        IStrategyHost host,
        bytes32[12] calldata record,
        Verdict verdict,
        ResultOpening calldata opening,
        uint96 claim,
        address bountyTo
    ) external {
        host.resolve(record, verdict, opening, claim, bountyTo);
    }

    function transferCredit(
        ILilypadPayments ledger,
        address token,
        address[] calldata to,
        uint256[] calldata amounts
    ) external {
        ledger.transferCredit(token, to, amounts);
    }

    function withdraw(ILilypadPayments ledger, address token, uint256 amount, address to) external {
        ledger.withdraw(token, amount, to);
    }
}
