// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Address, lowAddress} from "./Address.sol";

/// @notice Where a deal stands. Protocol 4. The last seven are final.
enum Status {
    None,
    Agreed,
    ResultsSubmitted,
    InMediation,
    Accepted,
    MediationAccepted,
    MediationRejected,
    NoFault,
    TimedOut,
    Declined,
    ClosedByAgreement
}

/// @notice Why a deal is in mediation. `Drawn` and `Expired` remember what the lottery said when it began.
enum DisputeKind {
    None,
    Challenge, // the result, before the lottery drew the deal
    ChallengeDrawn, // the result, after the lottery drew the deal: no bounty
    Delivery, // the delivery, by the creator
    Audit, // paid by the fund
    AuditExpired // the seed was lost: paid by the provider's collateral
}

/// @notice The one word that the chain keeps of a deal. Fields from the least significant bit:
/// [0..3] status | [4..6] dispute kind, also of the dispute that ended the deal (in Agreed: 1 when the deal can be audited)
/// | [7] the delivery was challenged once
/// | [8..47] deadline, unix seconds (final states: when it ended) | [48..79] period in which the result was submitted
/// | [80..255] commitment to the result; in Agreed: [80..239] provider, and no room is left for the judge window but
/// the sixteen bits [240..255], so a judge window is at most 65,535 s.
type DealWord is uint256;

using DealWordLib for DealWord global;

/// @title Reading and building deal words
library DealWordLib {
    uint256 private constant DELIVERY_CHALLENGED = 1 << 7;
    uint256 private constant KEPT_IN_MEDIATION = type(uint256).max << 48 | DELIVERY_CHALLENGED;
    uint256 private constant KEPT_AT_END = KEPT_IN_MEDIATION | 7 << 4;

    function status(DealWord word) internal pure returns (Status) {
        return Status(statusBits(word));
    }

    /// @dev For comparisons and errors: reading an enum costs a range check each time.
    function statusBits(DealWord word) internal pure returns (uint256) {
        return DealWord.unwrap(word) & 15;
    }

    function isIn(DealWord word, Status expected) internal pure returns (bool) {
        return statusBits(word) == uint256(expected);
    }

    function disputeKind(DealWord word) internal pure returns (DisputeKind) {
        return DisputeKind(DealWord.unwrap(word) >> 4 & 7);
    }

    function isOfKind(DealWord word, DisputeKind kind) internal pure returns (bool) {
        return DealWord.unwrap(word) >> 4 & 7 == uint256(kind);
    }

    /// @dev Meaningful in Agreed only.
    function auditableBit(DealWord word) internal pure returns (uint256) {
        return DealWord.unwrap(word) >> 4 & 1;
    }

    function deliveryWasChallenged(DealWord word) internal pure returns (bool) {
        return DealWord.unwrap(word) & DELIVERY_CHALLENGED != 0;
    }

    function deadline(DealWord word) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(word) >> 8);
    }

    function period(DealWord word) internal pure returns (uint32) {
        return uint32(DealWord.unwrap(word) >> 48);
    }

    function commitment(DealWord word) internal pure returns (uint176) {
        return uint176(DealWord.unwrap(word) >> 80);
    }

    /// @dev Meaningful in Agreed only.
    function provider(DealWord word) internal pure returns (Address) {
        return lowAddress(DealWord.unwrap(word) >> 80);
    }

    /// @dev Meaningful in Agreed only. Seconds.
    function judgeWindow(DealWord word) internal pure returns (uint256) {
        return DealWord.unwrap(word) >> 240;
    }

    function agreed(Address provider_, uint256 judgeWindow_, uint256 deadline_, bool auditable)
        internal
        pure
        returns (DealWord)
    {
        return DealWord.wrap(
            uint256(Status.Agreed) | SafeCast.toUint(auditable) << 4 | deadline_ << 8 | Address.unwrap(provider_) << 80
                | judgeWindow_ << 240
        );
    }

    function resultsSubmitted(uint176 commitment_, uint256 deadline_, uint32 period_) internal pure returns (DealWord) {
        return DealWord.wrap(
            uint256(Status.ResultsSubmitted) | deadline_ << 8 | uint256(period_) << 48 | uint256(commitment_) << 80
        );
    }

    function inMediation(DealWord word, DisputeKind kind, uint256 deadline_) internal pure returns (DealWord) {
        uint256 kept = DealWord.unwrap(word) & KEPT_IN_MEDIATION;
        kept |= SafeCast.toUint(kind == DisputeKind.Delivery) << 7;
        return DealWord.wrap(kept | uint256(Status.InMediation) | uint256(kind) << 4 | deadline_ << 8);
    }

    function delivered(DealWord word, uint256 deadline_) internal pure returns (DealWord) {
        return DealWord.wrap(
            DealWord.unwrap(word) & KEPT_IN_MEDIATION | uint256(Status.ResultsSubmitted) | deadline_ << 8
        );
    }

    /// @notice A final word: keeps period and commitment, and the time of the end in place of the deadline. The kind of a dispute
    /// that the strategy did not resolve in time stays readable: it says whose fees the strategy still holds.
    function ended(DealWord word, Status final_, uint256 time) internal pure returns (DealWord) {
        return DealWord.wrap(DealWord.unwrap(word) & KEPT_AT_END | uint256(final_) | time << 8);
    }
}
