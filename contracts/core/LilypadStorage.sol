// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "../types/Ids.sol";
import {DealWord, Status} from "../types/DealWord.sol";

/// @title The deal words and the table of legal transitions
/// @dev The only code that writes a deal word. Sixteen bits a row: bit `to` of row `from` says that the edge is in the
/// table of protocol section 4. Final states have empty rows.
abstract contract LilypadStorage {
    uint256 private constant AGREED = 1 << uint256(Status.Agreed);
    uint256 private constant FROM_AGREED = 1 << uint256(Status.ResultsSubmitted) | 1 << uint256(Status.Declined)
        | 1 << uint256(Status.TimedOut) | 1 << uint256(Status.ClosedByAgreement);
    uint256 private constant FROM_SUBMITTED = 1 << uint256(Status.Accepted) | 1 << uint256(Status.InMediation)
        | 1 << uint256(Status.TimedOut) | 1 << uint256(Status.NoFault) | 1 << uint256(Status.ClosedByAgreement);
    uint256 private constant FROM_MEDIATION = 1 << uint256(Status.MediationAccepted)
        | 1 << uint256(Status.MediationRejected) | 1 << uint256(Status.NoFault)
        | 1 << uint256(Status.ResultsSubmitted) | 1 << uint256(Status.TimedOut);
    uint256 private constant LEGAL = AGREED | FROM_AGREED << 16 * uint256(Status.Agreed)
        | FROM_SUBMITTED << 16 * uint256(Status.ResultsSubmitted) | FROM_MEDIATION << 16 * uint256(Status.InMediation);

    mapping(DealId => DealWord) internal _deals;

    /// @dev Unreachable as long as every caller checks its own state first: the last line of defence.
    error TransitionIllegal(DealId deal, Status from, Status to);

    /// @dev Moves a deal from the word `from`, as it was read, to the word `to`.
    function _move(DealId deal, DealWord from, DealWord to) internal {
        if (LEGAL >> (from.statusBits() << 4 | to.statusBits()) & 1 == 0) {
            revert TransitionIllegal(deal, from.status(), to.status());
        }
        _deals[deal] = to;
    }
}
