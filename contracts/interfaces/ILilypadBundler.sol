// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "../types/Ids.sol";
import {Opening} from "../types/Calls.sol";

/// @title Funding and opening in one transaction
/// @notice A convenience beside the core, with no rights in it: it holds no tokens and no credit, gets no approval from
/// anybody, and moves money only by permits that name the core as the spender and the owner's own credit as the target.
/// Anyone may carry anybody's signatures; who calls changes nothing.
interface ILilypadBundler {
    /// @notice An ERC-2612 permit for the core, and the deposit that it pays.
    struct Permit {
        address token;
        address owner; // whose tokens become its own credit
        uint256 amount; // smallest units
        uint256 deadline; // unix seconds, the last second at which the token takes the permit
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Permit `index` did not lead to a deposit for `reason` (the core's or the token's error). The opening went on,
    /// since the owner may have enough credit: somebody else may have carried the same permit a moment before.
    event DepositSkipped(uint256 indexed index, address indexed owner, address indexed token, bytes reason);

    /// @notice Deposits by permit what can be deposited, then opens all deals of `opening`. Reverts as the core's open does
    /// (FundsMissing, when a deposit that was needed failed); then the deposits do not happen either.
    /// Costs grow with the number of permits and jobs.
    function depositAndOpen(Permit[] calldata permits, Opening calldata opening)
        external
        returns (DealId[] memory dealIds);

    /// @notice Deposits by permit what can be deposited, then opens what can be opened; the core reports each pair that it
    /// leaves out. Deposits stay in any case.
    function depositAndOpenBatch(Permit[] calldata permits, Opening[] calldata openings) external;
}
