// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypad} from "../interfaces/ILilypad.sol";
import {Closing, Opening, ResultOpening, Settlement, SignedResult, Step} from "../types/Calls.sol";
import {Deal} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId} from "../types/Ids.sol";
import {LilypadRules} from "./LilypadRules.sol";
import {LilypadVerification} from "./LilypadVerification.sol";

/// @title The core of Lilypad: its public calls, single and in batches
/// @dev Each call is documented in ILilypad. Storage and transitions: LilypadStorage. Ledger: LilypadPayments. Signatures,
/// delegates, nonces: LilypadConsent. Numbers: LilypadRules. The life of a deal: LilypadOpening, LilypadResults, LilypadVerification.
/// No call but deposit and withdraw hands control to anybody: signatures of contracts are asked by static calls.
contract Lilypad is LilypadVerification {
    constructor(Parameters memory parameters_) LilypadRules(parameters_) {}

    // ---- opening

    /// @inheritdoc ILilypad
    function open(Opening calldata opening) external returns (DealId[] memory dealIds) {
        (dealIds,) = _openAll(opening);
    }

    /// @inheritdoc ILilypad
    function openBatch(Opening[] calldata openings) external {
        for (uint256 i = 0; i < openings.length; i++) {
            _openWhatCanBe(i, openings[i]);
        }
    }

    /// @inheritdoc ILilypad
    function openAndSubmit(Opening calldata opening, uint176[] calldata commitments)
        external
        returns (DealId[] memory dealIds)
    {
        (dealIds,) = _openAll(opening);
        _requireSameLength(dealIds.length, commitments.length);
        for (uint256 i = 0; i < dealIds.length; i++) {
            _revertWith(_submitAsProvider(dealIds[i], commitments[i]));
        }
    }

    /// @inheritdoc ILilypad
    function openSubmitAndSettle(Opening calldata opening, ResultOpening calldata result, bytes calldata waiver)
        external
        returns (DealId dealId)
    {
        _requireSameLength(opening.jobs.length, 1);
        (DealId[] memory dealIds, Deal memory deal) = _openAll(opening);
        dealId = dealIds[0];
        _submitOpened(deal, dealId, result);
        _settleWaived(deal, dealId, result, waiver);
    }

    // ---- results

    /// @inheritdoc ILilypad
    function submitResult(DealId dealId, uint176 commitment) external {
        _revertWith(_submitAsProvider(dealId, commitment));
    }

    /// @inheritdoc ILilypad
    function submitResults(DealId[] calldata dealIds, uint176[] calldata commitments) external {
        _requireSameLength(dealIds.length, commitments.length);
        for (uint256 i = 0; i < dealIds.length; i++) {
            _skipOn(i, _submitAsProvider(dealIds[i], commitments[i]));
        }
    }

    /// @inheritdoc ILilypad
    function submitSignedResults(SignedResult[] calldata results) external {
        for (uint256 i = 0; i < results.length; i++) {
            _skipOn(i, _submitSigned(results[i]));
        }
    }

    /// @inheritdoc ILilypad
    function submitAndSettle(bytes32[12] calldata record, ResultOpening calldata result, bytes calldata waiver)
        external
    {
        (Deal memory deal, DealId dealId,) = _find(record);
        _submitOpened(deal, dealId, result);
        _settleWaived(deal, dealId, result, waiver);
    }

    /// @inheritdoc ILilypad
    function decline(bytes32[12] calldata record, bytes32[4] calldata job) external {
        _revertWith(_decline(record, job));
    }

    /// @inheritdoc ILilypad
    function declineBatch(bytes32[12][] calldata records, bytes32[4][] calldata jobs) external {
        _requireSameLength(records.length, jobs.length);
        for (uint256 i = 0; i < records.length; i++) {
            _skipOn(i, _decline(records[i], jobs[i]));
        }
    }

    /// @inheritdoc ILilypad
    function settle(Settlement calldata settlement) external {
        _settleAll(settlement);
    }

    /// @inheritdoc ILilypad
    function settleBatch(Settlement[] calldata settlements) external {
        for (uint256 i = 0; i < settlements.length; i++) {
            _settleWhatCanBe(i, settlements[i]);
        }
    }

    /// @inheritdoc ILilypad
    function timeoutSubmit(bytes32[12] calldata record) external {
        _revertWith(_timeoutSubmit(record));
    }

    /// @inheritdoc ILilypad
    function timeoutReveal(bytes32[12] calldata record) external {
        _revertWith(_timeoutReveal(record));
    }

    /// @inheritdoc ILilypad
    function close(bytes32[12] calldata record, Closing calldata closing) external {
        _revertWith(_close(record, closing));
    }

    /// @inheritdoc ILilypad
    function closeBatch(bytes32[12][] calldata records, Closing[] calldata closings) external {
        _requireSameLength(records.length, closings.length);
        for (uint256 i = 0; i < records.length; i++) {
            _skipOn(i, _close(records[i], closings[i]));
        }
    }

    // ---- verification

    /// @inheritdoc ILilypad
    function challenge(bytes32[12] calldata record) external {
        _revertWith(_challenge(record));
    }

    /// @inheritdoc ILilypad
    function challengeDelivery(bytes32[12] calldata record) external {
        _revertWith(_challengeDelivery(record));
    }

    /// @inheritdoc ILilypad
    function audit(bytes32[12] calldata record, uint256 maxAdvance) external {
        _revertWith(_audit(record, maxAdvance));
    }

    /// @inheritdoc ILilypad
    function repayAdvance(bytes32[12] calldata record) external {
        _revertWith(_repayAdvance(record));
    }

    /// @inheritdoc ILilypad
    function timeoutMediation(bytes32[12] calldata record) external {
        _revertWith(_timeoutMediation(record));
    }

    /// @inheritdoc ILilypad
    function stepBatch(Step step, bytes32[12][] calldata records, uint256 maxAdvance) external {
        for (uint256 i = 0; i < records.length; i++) {
            _skipOn(i, _step(step, records[i], maxAdvance));
        }
    }

    function _step(Step step, bytes32[12] memory record, uint256 maxAdvance) private returns (bytes memory) {
        if (step == Step.TimeoutSubmit) return _timeoutSubmit(record);
        if (step == Step.TimeoutReveal) return _timeoutReveal(record);
        if (step == Step.TimeoutMediation) return _timeoutMediation(record);
        if (step == Step.Challenge) return _challenge(record);
        if (step == Step.ChallengeDelivery) return _challengeDelivery(record);
        if (step == Step.Audit) return _audit(record, maxAdvance);
        return _repayAdvance(record);
    }

    // ---- views

    /// @inheritdoc ILilypad
    function dealOf(DealId dealId)
        external
        view
        returns (
            Status status,
            DisputeKind kind,
            bool deliveryChallenged,
            uint256 deadline,
            uint32 period,
            uint176 commitment
        )
    {
        DealWord word = _deals[dealId];
        status = word.status();
        deadline = word.deadline();
        if (status == Status.Agreed) return (status, kind, false, deadline, 0, 0);
        return (status, word.disputeKind(), word.deliveryWasChallenged(), deadline, word.period(), word.commitment());
    }

    /// @inheritdoc ILilypad
    function dealIdOf(bytes32[12] calldata record) external view returns (DealId dealId) {
        (, dealId,) = _find(record);
    }

    /// @inheritdoc ILilypad
    function digestOf(bytes32 structHash) external view returns (bytes32) {
        return _digestOf(structHash);
    }

    // ---- internals

    function _submitOpened(Deal memory deal, DealId dealId, ResultOpening calldata result) private {
        bytes32 digest = _digest(result.head, result.content);
        _revertWith(_submitAsProvider(dealId, _commitment(dealId, deal.provider, digest, result.salt)));
    }

    function _skipOn(uint256 index, bytes memory failure) private {
        if (failure.length != 0) emit Skipped(0, index, failure);
    }

    function _requireSameLength(uint256 left, uint256 right) private pure {
        if (left != right) revert BatchLengthsDiffer(left, right);
    }
}
